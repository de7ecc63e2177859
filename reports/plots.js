// The plots: what was evaluated, the front, what to compare with, and marks on what was picked.
const MANY = 1000; // networks, above which the front alone has bars

// Plotly renders a small set of tags in texts: every "<" from outside becomes text here.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

// A finger moves the page, not the plot, and taps on points: no zooming, no buttons over the legend, larger marks.
const isSmall = () => matchMedia("(max-width: 44rem), (pointer: coarse)").matches;

// A title in lines of at most so many characters, broken behind spaces and underscores where it can be.
const folded = (text, room) => {
  const limit = Math.max(8, Math.floor(room));
  const lines = [""];
  (String(text).match(/[^ _]*[ _]?/g) || []).filter(Boolean).flatMap((word) => word.match(new RegExp(`.{1,${limit}}`, "g"))).forEach((word) => {
    if ((lines[lines.length - 1] + word).trimEnd().length > limit && lines[lines.length - 1]) lines.push("");
    lines[lines.length - 1] += word;
  });
  return lines.map((line) => plain(line.trimEnd())).join("<br>");
};

const hover = (index) => {
  const error = hasError(index) ? ` ± ${qualityError(index).toFixed(1)}` : "";
  const repeated = nets.trainings[index] > 1 ? `, mean of ${nets.trainings[index]} trainings` : "";
  const lines = [
    `<b>${plain(nets.id[index])}</b> · ${plain(roles(index).join(", "))}`,
    `${data.percent ? nets.y[index].toFixed(2) : nets.y[index]}${error} ${plain(data.quality)}${plain(data.training)}${repeated}`,
    ...(nets.chance[index] === null ? [] : [plain(judged(index))]),
    ...(isTrained(index) ? [`<b>${plain(testAccuracy(index))} test ${plain(data.score)}</b>, trained in full`] : []),
    `${plain(cost(nets.x[index]))}${unit ? "" : ` ${plain(data.cost)}`}${hasInterval(index) ? ` (${interval(index)})` : ""}`,
  ];
  const shown = data.further.map(({ label }) => label);
  further.forEach((values, place) => lines.push(plain(amountOf(place, values[index]))));
  if (nets.params[index] !== null && ![data.cost, ...shown].includes("parameters")) lines.push(`${whole(nets.params[index])} parameters`);
  if (nets.macs[index] !== null && ![data.cost, ...shown].includes("MACs")) lines.push(`${whole(nets.macs[index])} MACs`);
  return [...lines, `generation ${nets.generation[index]}`].join("<br>");
};

const colours = () => {
  const css = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "soft", "line", "panel", "accent", "second"].map((name) => [name, css.getPropertyValue(`--${name}`).trim()]));
};

// A plot of networks that can be picked from. `at` gives a network's place, `extra` the traces that are no networks.
class Plot {
  constructor(id, axes, at, options = {}) {
    this.root = document.getElementById(id);
    this.axes = axes;
    this.at = at;
    this.options = options;
    this.marked = [];
    this.layer = element("svg:svg", { class: "marks", "aria-hidden": "true" });
  }

  trace(name, list, look, bars) {
    const bar = (ends) => ({
      type: "data", symmetric: false, thickness: 1, width: 0, color: `${typeof look.marker.color === "string" ? look.marker.color : this.colours.accent}70`,
      array: list.map((index) => ends(index)[1]), arrayminus: list.map((index) => ends(index)[0]),
    });
    return {
      name, type: "scatter", mode: "markers", x: list.map((index) => this.at(index)[0]), y: list.map((index) => this.at(index)[1]),
      customdata: list, text: list.map(hover), hovertemplate: "%{text}<extra></extra>",
      ...(bars && { error_x: bar(this.options.barX), error_y: bar(this.options.barY) }), ...look,
    };
  }

  async draw() {
    const c = (this.colours = colours());
    const others = everyone.filter((index) => !nets.front[index]);
    const bars = this.options.barX !== undefined;
    const small = isSmall();
    const size = (points) => (small ? points + 3 : points);
    const knee = new Set(data.knees);
    const traces = [
      this.trace("evaluated", others, { marker: { color: c.soft, symbol: "circle-open", size: size(6), opacity: 0.75 } }, bars && count <= MANY),
      ...(this.options.extra ? this.options.extra(c) : []),
      this.trace("Pareto front", front, {
        mode: this.options.step ? "lines+markers" : "markers", line: { shape: "hv", width: 1.5, color: c.accent },
        marker: { ...this.coloured(c), size: front.map((index) => size(knee.has(index) ? 12 : 8)), symbol: front.map((index) => (knee.has(index) ? "diamond" : "circle")) },
      }, bars),
    ];
    const axis = { gridcolor: c.line, zeroline: false, linecolor: c.soft, automargin: true };
    const layout = {
      xaxis: { ...axis, title: { text: folded(this.axes[0], this.root.clientWidth / 9) }, rangemode: this.options.fromZero ? "tozero" : "normal" },
      yaxis: { ...axis, title: { text: folded(this.axes[1], this.root.clientHeight / 9) }, rangemode: this.options.fromZero === "both" ? "tozero" : "normal" },
      shapes: this.shapes(), annotations: this.annotations(), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: c.ink, family: "system-ui, sans-serif", size: 13 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      margin: { t: 40, r: 16, b: 45, l: 55 }, hovermode: "closest", dragmode: small ? false : "zoom", hoverlabel: { align: "left", bgcolor: c.panel, bordercolor: c.soft, font: { color: c.ink } },
    };
    const config = { responsive: true, displaylogo: false, displayModeBar: small ? false : undefined, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
    await Plotly.react(this.root, traces, layout, config);
    if (this.layer.parentNode === null) {
      this.root.append(this.layer);
      this.root.on("plotly_afterplot", () => this.mark());
    }
    this.mark();
  }

  // The colours of the front: one for all, or by a further objective, from light (little) to dark.
  coloured(c) {
    if (!this.options.colour) return { color: c.accent };
    const { label, values } = this.options.colour();
    return {
      color: front.map((index) => values[index]), colorscale: [[0, c.second], [1, c.accent]], showscale: true,
      colorbar: { title: { text: plain(label), side: "right" }, thickness: 12, outlinewidth: 0 }, line: { width: 1, color: c.ink },
    };
  }

  // Vertical lines at what does not change: the reference's cost, targets, the problem's own limit.
  shapes() {
    const line = { type: "line", y0: 0, y1: 1, yref: "paper" };
    return (this.options.lines || []).map(({ x, dash }) => ({ ...line, x0: x, x1: x, line: { color: this.colours.soft, width: 1, dash } }));
  }

  annotations() {
    const text = { y: 0, yref: "paper", yanchor: "bottom", xanchor: "left", xshift: 2, showarrow: false, textangle: -90 };
    return (this.options.lines || []).map(({ x, name }) => ({ ...text, x, text: plain(name), font: { color: this.colours.soft, size: 11 } }));
  }

  // Rings round A and B, and the limit. Plotly would draw all points again to move one of its shapes, which takes
  // seconds with ten thousand; so these lie on a layer of their own.
  mark(marked = this.marked, limit = this.limit) {
    this.marked = marked;
    this.limit = limit;
    const { xaxis, yaxis } = this.root._fullLayout;
    const [left, top, width, height] = [xaxis._offset, yaxis._offset, xaxis._length, yaxis._length];
    const across = (x) => left + xaxis.d2p(x);
    const inside = (x, y) => x >= left - 1 && x <= left + width + 1 && y >= top - 1 && y <= top + height + 1;
    const drawn = [];
    if (limit !== undefined && inside(across(limit), top)) drawn.push(element("svg:line", { x1: across(limit), x2: across(limit), y1: top, y2: top + height, class: "limit" }));
    marked.forEach((index, which) => {
      if (index === null || this.at(index)[0] === null) return;
      const [x, y] = [across(this.at(index)[0]), top + yaxis.d2p(this.at(index)[1])];
      if (!inside(x, y)) return;
      const slot = which ? "b" : "a";
      drawn.push(element("svg:circle", { cx: x, cy: y, r: 9, class: slot }), element("svg:text", { x, y: y + (which ? 25 : -14), class: slot }, which ? "B" : "A"));
    });
    this.layer.replaceChildren(...drawn);
  }

  onPick(pick) {
    this.root.on("plotly_click", ({ points }) => {
      const index = points[0].customdata;
      if (index !== undefined) pick(index);
    });
  }
}

const paretoPlot = () => {
  const known = data.references.filter((one) => one.y !== null);
  const timeLimit = timed ? data.limits.max_latency_ms : data.cost === "parameters" ? data.limits.max_params : data.limits.max_macs;
  const lines = [];
  const add = (x, name, dash) => {
    const same = lines.find((line) => Math.abs(line.x - x) < 1e-6 * Math.abs(x));
    if (same) same.name += `, ${name}`;
    else lines.push({ x, name, dash });
  };
  data.references.slice(0, 1).forEach(({ x, name }) => add(x, name, "dash"));
  data.targets.forEach((x) => add(x, "target T", "dot"));
  if (timeLimit !== undefined) add(timeLimit, "limit", "solid");
  return new Plot("pareto", [data.cost, data.quality], (index) => [nets.x[index], nets.y[index]], {
    step: !further.length, fromZero: true, ...(further.length && { colour: () => objectiveBy(1) }), limited: true, lines,
    barX: (index) => [nets.x[index] - nets.low[index], nets.high[index] - nets.x[index]],
    barY: (index) => [qualityError(index), qualityError(index)],
    extra: (c) => [
      ...(anyTrained ? [{
        name: `trained in full, test ${plain(data.score)}`, type: "scatter", mode: "markers", customdata: everyone.filter(isTrained),
        x: everyone.filter(isTrained).map((index) => nets.x[index]), y: everyone.filter(isTrained).map((index) => nets.test[index]),
        text: everyone.filter(isTrained).map(hover), hovertemplate: "%{text}<extra></extra>", marker: { color: c.second, symbol: "star", size: 12 },
      }] : []),
      ...(data.trueFront.length ? [{
        name: "true front", x: data.trueFront.map((p) => p[0]), y: data.trueFront.map((p) => p[1]), type: "scatter", mode: further.length ? "markers" : "lines",
        line: { shape: "hv", width: 1, color: c.ink }, marker: { symbol: "cross-thin", size: 5, line: { width: 1, color: c.ink } }, hoverinfo: "skip",
      }] : []),
      ...[true, false].map((onFront) => [onFront, data.baselines.filter((one) => one.front === onFront)]).filter(([, list]) => list.length).map(([onFront, list]) => ({
        name: "pretrained baselines", showlegend: onFront, type: "scatter", mode: onFront ? "lines+markers" : "markers", x: list.map((one) => one.x), y: list.map((one) => one.y),
        error_x: { type: "data", symmetric: false, thickness: 1, width: 0, color: c.ink, array: list.map((one) => one.interval[1] - one.x), arrayminus: list.map((one) => one.x - one.interval[0]) },
        line: { shape: "hv", width: 1.5, dash: "dash", color: c.ink }, marker: { color: c.ink, symbol: "square-open", size: 8, opacity: onFront ? 1 : 0.5 },
        text: list.map((one) => `<b>${plain(one.name)}</b> · pretrained<br>${plain(quality(one.y, 2))}<br>${one.test === null ? "" : `<b>${one.test.toFixed(2)}% test ${plain(data.score)}</b>, trained in full<br>`}${plain(cost(one.x))}`),
        hovertemplate: "%{text}<extra></extra>",
      })),
      ...known.map((one, number) => ({
        name: plain(one.name), x: [one.x], y: [one.y], type: "scatter", mode: "markers",
        marker: { color: c.ink, symbol: ["square-open", "triangle-up-open", "cross-open", "x-open", "star-open"][number % 5], size: 13, line: { width: 2 } },
        hovertemplate: `<b>${plain(one.name)}</b><br>${plain(quality(one.y, 2))}<br>${plain(cost(one.x))}<extra></extra>`,
      })),
    ],
  });
};

// One objective as an axis, or as a colour: 0 is the cost, then come the further ones.
const objectiveBy = (place) => (place ? { label: data.further[place - 1].label, values: further[place - 1] } : { label: data.cost, values: nets.x });

// With further objectives: quality against one of them, coloured by another one.
const furtherPlot = (across) => {
  const { label, values } = objectiveBy(across);
  const colour = objectiveBy(across ? 0 : 1);
  return new Plot(`further-${across}`, [label, data.quality], (index) => [values[index], nets.y[index]], { fromZero: true, colour: () => colour });
};
const furtherPlots = () => data.further.map((_, place) => furtherPlot(place + 1));

const countedPlot = () =>
  document.getElementById("counted") === null ? null : new Plot("counted", ["MACs", "latency (ms)"], (index) => [nets.macs[index], nets.x[index]], { fromZero: "both" });

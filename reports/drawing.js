// An architecture from image to logits, part by part: what it is, what it hands on, what it costs.
const [WIDTH, CENTRE] = [164, 76]; // of a drawing, in pixels
const [NOTATION, TEXT, OP, FILTERS, SE, SKIPS, SIDE, PARAMS, MACS, MS] = Array(10).keys();

const box = (part) => {
  const layers = part[SKIPS].length;
  const height = 22 + 9 * (layers - 1);
  const width = Math.min(128, 84 + 5.5 * Math.max(0, Math.log2(part[FILTERS] / 8))) + (part[SE] ? 16 : 0);
  const [left, right, step] = [CENTRE - width / 2, CENTRE + width / 2, height / layers];
  const [fill, opacity] = data.colours[part[OP]] || data.colours.mbconv;
  const svg = element("svg:svg", { viewBox: `0 0 ${WIDTH} ${height + 8}`, width: WIDTH, height: height + 8, "aria-hidden": "true" });
  const draw = (tag, attributes, ...children) => svg.append(element(`svg:${tag}`, attributes, ...children));
  draw("line", { x1: CENTRE, x2: CENTRE, y1: height + 1, y2: height + 8, class: "edge" });
  draw("rect", { x: left, y: 1, width, height, rx: 2, fill, "fill-opacity": opacity, class: "edge" });
  [...part[SKIPS]].forEach((skip, layer) => {
    const top = 1 + layer * step;
    if (layer) [left, right - 9].forEach((x) => draw("line", { x1: x, x2: x + 9, y1: top, y2: top, class: "edge" }));
    if (skip !== "-") draw("path", { d: `M ${right} ${top + 2} q 11 ${step / 2 - 2} 0 ${step - 4}`, class: "skip", ...(skip === "p" && { "stroke-dasharray": "3 2" }) });
  });
  draw("text", { x: CENTRE - (part[SE] ? 9 : 0), y: height / 2 + 5, "text-anchor": "middle" }, part[TEXT]);
  if (layers > 1) draw("text", { x: WIDTH - 6, y: height / 2 + 5, "text-anchor": "end" }, `×${layers}`);
  if (part[SE]) {
    const [seFill, seOpacity] = data.colours.se;
    draw("rect", { x: right - 20, y: height / 2 - 6, width: 17, height: 14, rx: 4, fill: seFill, "fill-opacity": seOpacity });
    draw("text", { x: right - 11.5, y: height / 2 + 4.5, "text-anchor": "middle", class: "tag" }, "SE");
  }
  return svg;
};

const words = (part) => {
  const layers = part[SKIPS].length;
  const skip = part[SKIPS].includes("p") ? ", pooling skip" : part[SKIPS].includes("i") ? ", identity skip" : "";
  return `${part[TEXT]}, ${layers} layer${layers > 1 ? "s" : ""}, ${part[FILTERS]} filters${part[SE] ? ", squeeze-and-excite" : ""}${skip}`;
};

// What each part takes: milliseconds where a breakdown was found, spread so that they add up to what was measured.
const spent = (index) => {
  const found = parts(index);
  const values = found.map((part) => (data.breakdown ? part[MS] : part[MACS]));
  const total = values.reduce((sum, value) => sum + value, 0) || 1;
  return values.map((value) => value / total);
};

const bar = (value, most, text) =>
  element("td", { class: "bar" }, element("span", { class: "fill", style: `width:${((90 * value) / most).toFixed(1)}%` }), element("span", {}, text));

// The drawing as a table; `most` is the largest share that is drawn beside it, so that two drawings have one scale.
const drawing = (index, mostMs, mostMacs) => {
  const found = parts(index);
  const shares = spent(index);
  const { resolution, channels, classes } = data.image;
  const header = ["", "hands on", data.breakdown ? "latency, est." : "MACs"];
  if (data.breakdown) header.push("MACs");
  const head = element("thead", {}, element("tr", {}, ...header.map((name, place) => element(place ? "th" : "td", place ? { scope: "col" } : {}, name))));
  const shape = (size, filters) => [...(Array.isArray(size) ? size : [size, size]), filters].join("×");
  const empty = () => Array.from(header.slice(2), () => element("td", {}));
  const body = element("tbody", {}, element("tr", {}, element("th", { scope: "row", class: "end" }, "image"), element("td", {}, shape(resolution, channels)), ...empty()));
  const totalMacs = found.reduce((sum, part) => sum + part[MACS], 0);
  found.forEach((part, place) => {
    const ms = shares[place] * nets.x[index];
    const name = element("th", { scope: "row" }, box(part), element("span", { class: "unseen" }, words(part)));
    const macs = bar(part[MACS], mostMacs, share(part[MACS] / totalMacs));
    const last = place === found.length - 1 && !data.detects ? shape(1, part[FILTERS]) : shape(part[SIDE], part[FILTERS]);
    body.append(element("tr", {}, name, element("td", {}, last), ...(data.breakdown ? [bar(ms, mostMs, `${ms.toPrecision(2)} ms`)] : []), macs));
  });
  body.append(element("tr", {}, element("th", { scope: "row", class: "end" }, data.detects ? "SSDLite" : "linear"), element("td", {}, data.detects ? "" : String(classes)), ...empty()));
  return element("table", { class: "network" }, head, body);
};

// Both drawings, on one scale.
const drawPair = (picked) => {
  const shown = picked.filter((index) => index !== null);
  const mostMs = Math.max(...shown.flatMap((index) => spent(index).map((value) => value * nets.x[index])));
  const mostMacs = Math.max(...shown.flatMap((index) => parts(index).map((part) => part[MACS])));
  ["drawing-a", "drawing-b"].forEach((id, place) => {
    const target = document.getElementById(id);
    if (target) target.replaceChildren(...(picked[place] === null ? [] : [drawing(picked[place], mostMs, mostMacs)]));
  });
};

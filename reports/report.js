// What is picked, and everything that follows it.
const state = { picked: [null, null], slot: 0, limit: null, limits: data.further.map(() => null) };
const byId = (id) => document.getElementById(id);
const limitInput = byId("limit");
const lowest = front.length ? nets.x[front[0]] : 0;
const highest = front.length ? nets.x[front[front.length - 1]] : 1;
const limitOf = (value) => lowest + ((highest - lowest) * value) / 1000;
const positionOf = (limit) => Math.round((1000 * (limit - lowest)) / (highest - lowest || 1));

const pareto = paretoPlot();
const counted = countedPlot();
const views = furtherPlots();
const plots = [pareto, ...views, ...(counted ? [counted] : [])];
const table = new Table((index) => pick(index));

const describeFacts = () => {
  const rows = [
    [data.quality + data.training, (i) => quality(nets.y[i], 2) + (hasError(i) ? ` ± ${qualityError(i).toFixed(1)}` : "")],
    ["without luck", (i) => judged(i) || null],
    ["accuracy", (i) => (!hasAccuracies ? null : `${nets.accuracy[i].toFixed(2)} %`)],
    [`test ${data.score}, trained in full`, testAccuracy],
    [data.cost, (i) => (timed ? `${fine(nets.x[i])}${unit}` : cost(nets.x[i])) + (hasInterval(i) ? ` (${interval(i)})` : "")],
    ...data.further.map(({ label }, place) => [label, (i) => (["parameters", "MACs"].includes(label) ? null : amount(further[place][i]))]),
    ["parameters", (i) => (data.cost === "parameters" ? null : whole(nets.params[i]))],
    ["MACs", (i) => (data.cost === "MACs" ? null : whole(nets.macs[i]))],
    ...Object.entries(data.memory).map(([name, values]) => [name, (i) => values[i].toFixed(1)]),
    ["found in generation", (i) => String(nets.generation[i])],
    ["it is", (i) => roles(i).join(", ")],
    ["architecture", (i) => notation(i)],
  ];
  const body = rows.map(([name, said]) => {
    const cells = state.picked.map((index) => (index === null ? "–" : said(index)));
    if (cells.every((cell) => cell === null || cell === "–")) return null;
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", name === "architecture" ? { class: "notation" } : {}, cell)));
  });
  byId("facts").tBodies[0].replaceChildren(...body.filter((row) => row !== null));
  ["name-a", "name-b"].forEach((id, place) => { byId(id).textContent = state.picked[place] === null ? "" : nets.id[state.picked[place]]; });
  const [a, b] = state.picked;
  byId("verdict").textContent = a === null || b === null ? "" : a === b ? "A and B are the same network." : compared(a, b);
};

const copyable = (title, text) =>
  element("figure", { class: "copyable" }, element("figcaption", {}, `${title} `, element("button", { type: "button", class: "copy" }, "Copy")),
    element("pre", { tabindex: 0, role: "region", "aria-label": title }, element("code", {}, text)));

const describeCommands = () => {
  const index = state.picked[state.slot];
  if (byId("commands") === null || index === null) return;
  byId("commands-of").textContent = `${state.slot ? "B" : "A"}, ${nets.id[index]}`;
  const filled = (text) => text.replaceAll("{id}", nets.id[index]).replaceAll("{architecture}", notation(index));
  byId("commands").replaceChildren(...data.commands.map(({ title, text }) => copyable(title, filled(text))));
};

const describeLimit = () => {
  const limit = state.limit === null ? highest : state.limit;
  const found = bestWithin(limit * (1 + 1e-9), state.limits);
  byId("limit-value").textContent = cost(limit);
  limitInput.setAttribute("aria-valuetext", cost(limit));
  const also = found === null ? "" : further.map((values, place) => ` and ${amountOf(place, values[found])}`).join("");
  const none = further.length ? "No network of the front is within these limits." : "";
  byId("within").textContent = found === null ? none : `The ${bestWords} network within ${further.length ? "them" : "it"}: ${nets.id[found]}, ${quality(nets.y[found])} at ${cost(nets.x[found])}${also}.`;
};

const show = () => {
  describeFacts();
  describeCommands();
  describeLimit();
  describePicked(state.picked);
  if (!nets.name) drawPair(state.picked);
  table.mark(state.picked);
  pareto.mark(state.picked, state.limit === null ? undefined : state.limit);
  views.forEach((view, place) => view.mark(state.picked, state.limits[place] === null ? undefined : state.limits[place]));
  if (counted) counted.mark(state.picked);
  remember();
};

const pick = (index) => {
  state.picked[state.slot] = index;
  show();
};

const pickWithin = () => {
  const found = bestWithin((state.limit === null ? highest : state.limit) * (1 + 1e-9), state.limits);
  if (found !== null) state.picked[state.slot] = found;
  show();
};

const setLimit = (limit) => {
  state.limit = limit;
  pickWithin();
};

// A slider for each further objective, over the values that the front has.
const furtherSliders = () => data.further.map(({ label }, place) => {
  const values = front.map((index) => further[place][index]).sort((a, b) => a - b);
  const [id, last] = [`limit-${place}`, values.length - 1];
  const output = element("output", { for: id }, amountOf(place, values[last]));
  const input = element("input", {
    type: "range", id, min: 0, max: last, value: last, "aria-valuetext": amountOf(place, values[last]),
    oninput: (event) => {
      state.limits[place] = values[Number(event.target.value)];
      output.textContent = amountOf(place, state.limits[place]);
      event.target.setAttribute("aria-valuetext", output.textContent);
      pickWithin();
    },
  });
  return element("div", {}, element("label", { for: id }, "At most ", output), input);
});

// Walk along the front from what is picked.
const step = (by) => {
  const at = state.picked[state.slot];
  const from = front.indexOf(at);
  const nearest = from >= 0 ? from + by : front.filter((index) => nets.x[index] <= nets.x[at]).length - (by > 0 ? 0 : 1);
  pick(front[Math.max(0, Math.min(front.length - 1, nearest))]);
};

const keys = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => pick(front[0]), End: () => pick(front[front.length - 1]) };

const shortcuts = () => {
  const named = new Map();
  const add = (index, name) => { if (index !== undefined && index >= 0 && !named.has(index)) named.set(index, name); };
  data.knees.forEach((index, place) => add(index, place ? `knee ${place + 1}` : "knee"));
  add(front[0], timed ? "fastest" : "cheapest");
  add(best, bestWords);
  data.further.forEach(({ label }, place) => add(leastOf(place), `least ${label}`));
  add(referenceAt, data.referenceName);
  const sorted = [...named].sort(([i], [j]) => nets.x[i] - nets.x[j]);
  byId("shortcuts").replaceChildren(...sorted.map(([index, name]) => element("button", { type: "button", onclick: () => pick(index) }, `${name} · ${quality(nets.y[index])}, ${cost(nets.x[index])}`)));
};

// What was picked outlives a reload of a running search's page; it is kept by name, since places change.
const KEY = `evomnas ${data.run}`;
const remember = () => {
  const kept = { picked: state.picked.map((index) => (index === null ? null : nets.id[index])), slot: state.slot, limit: state.limit, all: table.all.checked, filter: table.filter.value, by: table.by, descending: table.descending, scroll: scrollY };
  try { sessionStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* a browser that keeps nothing shows the page all the same */ }
};
const recall = () => {
  try { return JSON.parse(sessionStorage.getItem(KEY)) || {}; } catch { return {}; }
};

const start = async () => {
  const kept = recall();
  const known = (kept.picked || []).map((id) => nets.id.indexOf(id));
  const knee = data.knees.length ? data.knees[0] : best;
  const rival = referenceAt >= 0 && referenceAt !== knee ? referenceAt : best === knee ? front[0] : best;
  state.picked = [known[0] >= 0 ? known[0] : knee, known[1] >= 0 ? known[1] : rival];
  state.slot = kept.slot || 0;
  document.getElementsByName("slot")[state.slot].checked = true;
  if (typeof kept.limit === "number") {
    state.limit = kept.limit;
    limitInput.value = positionOf(kept.limit);
  }
  table.all.checked = Boolean(kept.all);
  table.filter.value = kept.filter || "";
  if (kept.by !== undefined) Object.assign(table, { by: kept.by, descending: kept.descending });
  table.draw();
  shortcuts();
  byId("further-limits").replaceChildren(...furtherSliders());
  await Promise.all(plots.map((plot) => plot.draw()));
  plots.forEach((plot) => plot.onPick(pick));
  show();
  if (kept.scroll && document.getElementById("running")) scrollTo(0, kept.scroll);
};

if (front.length) {
  byId("knee-note").textContent = data.knees.length ? further.length ? "The diamond is the knee: the network that lies furthest below all mixes of the front's ends (Das, 1999), in all objectives." : "Diamonds are knees: where the front lies furthest below the straight line between its ends (Das, 1999), and once more on either side." : data.noKnee;
  if (!nets.name) {
    byId("bars-of").textContent = count > MANY ? " (drawn for the front alone)" : "";
    byId("drawing-note").textContent = data.breakdown
      ? `Latency by block is an estimate: the measured whole, divided by what ${whole(data.breakdown.networks)} measured networks say about each kind of work; that model is off by ${share(data.breakdown.error)} on average for networks it has not seen.`
      : "Too few networks were measured to tell where the milliseconds go; MACs are counted.";
  }
  limitInput.addEventListener("input", () => setLimit(limitOf(Number(limitInput.value))));
  document.getElementsByName("slot").forEach((input, place) => input.addEventListener("change", () => { state.slot = place; show(); }));
  byId("pareto").addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.draw()));
  start();
} else {
  byId("pick").hidden = true;
  byId("pareto").hidden = true;
}

describeShipped();
addFilters();

document.addEventListener("click", async (event) => {
  if (!event.target.classList.contains("copy")) return;
  const text = event.target.closest("figure").querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a browser that keeps pages from disk away from the clipboard
    const area = document.body.appendChild(element("textarea", {}));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
    event.target.focus();
  }
  byId("copied").textContent = "Copied.";
  setTimeout(() => { byId("copied").textContent = ""; }, 2000);
});

// Paper has no buttons: what is folded is printed open.
let opened = [];
addEventListener("beforeprint", () => { opened = [...document.querySelectorAll("details:not([open])")]; opened.forEach((one) => { one.open = true; }); });
addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));

// While the search goes on, the file is replaced after its generations: load it again, ever more rarely if nothing comes.
const running = byId("running");
if (running) {
  let busy = 0;
  ["pointerdown", "keydown", "wheel", "input"].forEach((name) => addEventListener(name, () => { busy = Date.now(); }, { passive: true }));
  const age = () => Date.now() / 1000 - Number(running.dataset.written);
  const again = () => setTimeout(() => {
    if (document.hidden || Date.now() - busy < 3000 || !getSelection().isCollapsed) return again();
    if (front.length) remember();
    location.reload();
  }, 1000 * Math.min(600, Math.max(5, age() / 10)));
  again();
}

// The table of networks: sorted by a click on a heading, of the front or of all that was evaluated.
const ROWS = 100; // that are shown at once
const FEW_ROWS = 20; // which need no filter

const columns = nets.name
  ? [[data.quality, (i) => nets.y[i], (i) => quality(nets.y[i], 2)], [data.cost, (i) => nets.x[i], (i) => amount(nets.x[i])]]
  : [
      [data.score, (i) => nets.y[i], (i) => `${quality(nets.y[i], 2)}`],
      ...(!hasAccuracies ? [] : [["accuracy", (i) => nets.accuracy[i], (i) => `${quality(nets.accuracy[i], 2)}`]]),
      ...(anyTrained ? [[`test ${data.score}`, (i) => nets.test[i] ?? -1, (i) => (isTrained(i) ? quality(nets.test[i], 2) : "–")]] : []),
      ["latency ms", (i) => nets.x[i], (i) => nets.x[i].toPrecision(4)],
      ["95 % interval", (i) => nets.high[i] - nets.low[i], interval],
      ["± standard error", (i) => qualityError(i), (i) => qualityError(i).toFixed(2)],
      ...(nets.trainings.some((count) => count > 1) ? [["trainings", (i) => nets.trainings[i], (i) => whole(nets.trainings[i])]] : []),
      ["parameters", (i) => nets.params[i], (i) => whole(nets.params[i])],
      ["MACs", (i) => nets.macs[i], (i) => whole(nets.macs[i])],
      ...Object.entries(data.memory).map(([name, values]) => [name, (i) => values[i], (i) => values[i].toFixed(1)]),
      ...(isJudged ? [["expected", (i) => nets.expected[i] ?? -1, (i) => (nets.expected[i] === null ? "–" : quality(nets.expected[i], 2))], ["on front", (i) => nets.chance[i] ?? -1, (i) => (nets.chance[i] === null ? "–" : `${nets.chance[i].toFixed(0)} %`)]] : []),
    ];
data.further.forEach(({ label }, place) => {
  if (!columns.some(([name]) => name === label)) columns.push([label, (i) => further[place][i], (i) => amount(further[place][i])]);
});
columns.unshift(["id", (i) => nets.id[i]]);
columns.push(["generation", (i) => nets.generation[i]]);
columns.push([nets.name ? "network" : "architecture", notation]);

// A condition on a column, as in "latency<0.05" or "MACs>=2M"; null where a word is no such condition.
const condition = (word) => {
  const found = word.match(/^([^<>=]+)(<=|>=|<|>)(\d+(?:\.\d+)?)([kmg]?)%?$/);
  const column = found && columns.find(([name, value]) => name.toLowerCase().startsWith(found[1]) && typeof value(0) === "number");
  if (!column) return null;
  const limit = Number(found[3]) * { "": 1, k: 1e3, m: 1e6, g: 1e9 }[found[4]];
  const holds = { "<": (x) => x < limit, "<=": (x) => x <= limit, ">": (x) => x > limit, ">=": (x) => x >= limit }[found[2]];
  return (index) => column[1](index) !== null && holds(column[1](index));
};

// What a filter lets through: networks for which all of its words are a part of their text, or hold.
const passes = (text) => {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const holds = condition(word);
    return holds || ((index) => `${nets.id[index]} ${notation(index)} ${roles(index).join(" ")}`.toLowerCase().includes(word));
  });
  return (index) => tests.every((holds) => holds(index));
};

const filterField = (name, hint, onInput) => {
  const input = element("input", { type: "search", placeholder: hint, "aria-label": `Filter: ${name}`, spellcheck: "false", autocomplete: "off" });
  input.addEventListener("input", () => onInput(input.value));
  return input;
};

class Table {
  constructor(pick) {
    this.pick = pick;
    this.root = document.getElementById("networks");
    this.by = columns.findIndex(([name]) => name === data.cost || name === "latency ms");
    this.descending = false;
    this.limit = ROWS;
    this.all = document.getElementById("all");
    this.more = document.getElementById("more");
    this.all.addEventListener("change", () => this.draw());
    this.more.addEventListener("click", () => { this.limit *= 10; this.draw(); });
    this.picked = [];
    const example = nets.name ? "words of a name" : `words, or as in ${timed ? "latency<" + fine(nets.x[front[Math.floor(front.length / 2)]] || 1) : "macs<1M"}`;
    this.filter = filterField("networks", example, () => { this.limit = ROWS; this.draw(); });
    this.found = element("span", { role: "status" });
    if (count > FEW_ROWS) this.all.closest("p").append(element("label", {}, "Filter ", this.filter), this.found);
  }

  sorted() {
    const list = (this.all.checked ? [...everyone] : [...front]).filter(passes(this.filter.value));
    const value = columns[this.by][1];
    const keys = new Map(list.map((index) => [index, value(index)]));
    const order = (i, j) => (keys.get(i) < keys.get(j) ? -1 : keys.get(i) > keys.get(j) ? 1 : i - j);
    return list.sort((i, j) => (this.descending ? order(j, i) : order(i, j)));
  }

  sortBy(place) {
    this.descending = this.by === place ? !this.descending : false;
    this.by = place;
    this.draw();
    this.root.querySelectorAll("thead button")[place].focus();
  }

  heading([name, value], place) {
    const number = typeof value(0) === "number";
    const sort = this.by === place ? (this.descending ? "descending" : "ascending") : "none";
    return element("th", { scope: "col", "aria-sort": sort, ...(number && { class: "n" }) }, element("button", { type: "button", onclick: () => this.sortBy(place) }, name));
  }

  row(index) {
    const cells = columns.slice(1).map(([name, value, said]) => {
      const kind = name === "architecture" || name === "network" ? "notation" : "n";
      return element("td", { class: kind }, String((said || value)(index)));
    });
    const button = element("button", { type: "button", class: "pick", "aria-label": `pick ${nets.id[index]}`, onclick: () => this.pick(index) }, nets.id[index]);
    return element("tr", { "data-index": index }, element("th", { scope: "row" }, button), ...cells);
  }

  draw() {
    if (!count) return;
    const list = this.sorted();
    const shown = list.slice(0, this.limit);
    this.root.tHead.replaceChildren(element("tr", {}, ...columns.map((column, place) => this.heading(column, place))));
    const none = element("tr", {}, element("td", { colspan: columns.length }, "No network of this list matches."));
    this.root.tBodies[0].replaceChildren(...(shown.length ? shown.map((index) => this.row(index)) : [none]));
    this.found.textContent = this.filter.value.trim() ? `${whole(list.length)} of ${whole((this.all.checked ? everyone : front).length)}` : "";
    this.more.hidden = shown.length === list.length;
    this.more.textContent = `Show more (${whole(shown.length)} of ${whole(list.length)})`;
    document.getElementById("table-title").textContent = this.all.checked ? "All evaluated networks" : "The Pareto set";
    this.mark(this.picked);
  }

  mark(picked) {
    this.picked = picked;
    this.root.querySelectorAll("tbody tr").forEach((row) => {
      const place = picked.indexOf(Number(row.dataset.index));
      row.className = place < 0 ? "" : `picked ${place ? "b" : "a"}`;
    });
  }
}

// Every other long table has a filter above it: rows stay that hold all of its words.
const filterRows = (rows, text) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  rows.forEach((row) => { row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
};

const addFilters = () => {
  document.querySelectorAll(".scroll > table").forEach((table) => {
    const rows = [...table.rows].filter((row) => row.parentNode.tagName === "TBODY");
    if (table.id || table.matches(".shares, .network") || rows.length <= FEW_ROWS) return;
    const name = document.getElementById(table.parentNode.getAttribute("aria-labelledby"));
    const field = filterField(name === null ? "rows" : name.textContent, "words", (text) => filterRows(rows, text));
    table.parentNode.before(element("p", { class: "choices" }, element("label", {}, "Filter ", field)));
  });
};

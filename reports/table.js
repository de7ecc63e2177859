// The table of networks: sorted by a click on a heading, of the front or of all that was evaluated.
const ROWS = 100; // that are shown at once

const columns = nets.name
  ? [[data.quality, (i) => nets.y[i], (i) => quality(nets.y[i], 2)], [data.cost, (i) => nets.x[i], (i) => amount(nets.x[i])]]
  : [
      [data.score, (i) => nets.y[i], (i) => `${quality(nets.y[i], 2)}`],
      ...(data.score === "accuracy" ? [] : [["accuracy", (i) => nets.accuracy[i], (i) => `${quality(nets.accuracy[i], 2)}`]]),
      ...(anyTrained ? [[`test ${data.score}`, (i) => nets.test[i] ?? -1, (i) => (isTrained(i) ? quality(nets.test[i], 2) : "–")]] : []),
      ["latency ms", (i) => nets.x[i], (i) => nets.x[i].toPrecision(4)],
      ["95 % interval", (i) => nets.high[i] - nets.low[i], interval],
      ["± standard error", (i) => qualityError(i), (i) => qualityError(i).toFixed(2)],
      ["parameters", (i) => nets.params[i], (i) => whole(nets.params[i])],
      ["MACs", (i) => nets.macs[i], (i) => whole(nets.macs[i])],
    ];
columns.unshift(["id", (i) => nets.id[i]]);
columns.push(["generation", (i) => nets.generation[i]]);
columns.push([nets.name ? "network" : "architecture", notation]);

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
  }

  sorted() {
    const list = this.all.checked ? [...everyone] : [...front];
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
    this.root.tBodies[0].replaceChildren(...shown.map((index) => this.row(index)));
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

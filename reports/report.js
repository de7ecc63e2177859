"use strict";
(() => {
  const { rows, reference, referenceId, referenceName, axes, trueFront } = JSON.parse(document.getElementById("rows").textContent);
  const front = rows.filter((row) => row.on_front).sort((a, b) => a.x - b.x);
  const others = rows.filter((row) => !row.on_front && row.id !== referenceId);
  const marked = rows.filter((row) => row.id === referenceId);
  const [quality, cost] = axes;
  // Plotly renders a small set of tags in hover texts: every "<" from outside becomes text here.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const blocks = (notation) => notation.split("-").map(plain).join("<br>");
  const count = (value, what) => (value === null ? "" : `<br>${value.toLocaleString("en")} ${what}`);
  const interval = (row) => (row.latency_ci ? ` (${row.latency_ci.map((v) => v.toFixed(4)).join(" to ")})` : "");
  const hover = (row) =>
    `<b>${plain(row.id)}</b>, generation ${row.generation}<br>${row.y.toFixed(2)} ${plain(quality)}<br>` +
    `${Number(row.x.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 4 })} ${plain(cost)}${interval(row)}` +
    `${count(row.params, "parameters")}${cost === "MACs" ? "" : count(row.macs, "MACs")}<br>${blocks(row.architecture)}`;
  const trace = (name, list, extra) => ({
    name, x: list.map((row) => row.x), y: list.map((row) => row.y), text: list.map(hover),
    hovertemplate: "%{text}<extra></extra>", type: "scatter", mode: "markers",
    error_x: {
      type: "data", symmetric: false, thickness: 1, width: 2, color: extra.marker.color,
      array: list.map((row) => row.interval[1] - row.x), arrayminus: list.map((row) => row.x - row.interval[0]),
    }, ...extra,
  });
  const draw = () => {
    const css = getComputedStyle(document.documentElement);
    const [ink, soft, line, accent] = ["--ink", "--soft", "--line", "--accent"].map((n) => css.getPropertyValue(n).trim());
    const axis = { gridcolor: line, zeroline: false, linecolor: soft, automargin: true };
    const lineAt = reference === null ? [] : [{
      type: "line", x0: reference, x1: reference, y0: 0, y1: 1, yref: "paper", line: { color: soft, width: 1, dash: "dash" },
    }];
    Plotly.react("pareto", [
      trace("evaluated", others, { marker: { color: soft, symbol: "circle-open", size: 7 } }),
      ...(trueFront.length ? [{
        name: "true front", x: trueFront.map((p) => p[0]), y: trueFront.map((p) => p[1]), type: "scatter", mode: "lines",
        line: { shape: "hv", width: 1, color: ink }, hoverinfo: "skip",
      }] : []),
      trace(referenceName, marked, { marker: { color: ink, symbol: "diamond", size: 10 } }),
      trace("Pareto front", front, { mode: "lines+markers", line: { shape: "hv", width: 1.5, color: accent }, marker: { color: accent, size: 9 } }),
    ], {
      xaxis: { ...axis, title: { text: plain(cost) }, rangemode: "tozero" }, yaxis: { ...axis, title: { text: plain(quality) } },
      shapes: lineAt, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif" },
      legend: { orientation: "h", y: 1.12 }, margin: { t: 30, r: 10, b: 45, l: 55 }, hovermode: "closest", hoverlabel: { align: "left" },
    }, { responsive: true, displaylogo: false });
  };
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();

"use strict";
(() => {
  const { rows, reference, referenceId } = JSON.parse(document.getElementById("rows").textContent);
  const done = rows.filter((row) => row.status === "ok");
  const front = done.filter((row) => row.on_front).sort((a, b) => a.latency_ms - b.latency_ms);
  const others = done.filter((row) => !row.on_front && row.id !== referenceId);
  const marked = done.filter((row) => row.id === referenceId);
  // Plotly renders a small set of tags in hover texts: every "<" from outside becomes text here.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const blocks = (notation) => notation.split("-").map(plain).join("<br>");
  const hover = (row) =>
    `<b>${plain(row.id)}</b>, generation ${row.generation}<br>${(100 * row.accuracy).toFixed(2)} %, ` +
    `${row.latency_ms.toFixed(4)} ms (${row.latency_ci.map((v) => v.toFixed(4)).join(" to ")})<br>` +
    `${row.params.toLocaleString("en")} parameters, ${row.macs.toLocaleString("en")} MACs<br>${blocks(row.architecture)}`;
  const trace = (name, list, extra) => ({
    name, x: list.map((row) => row.latency_ms), y: list.map((row) => 100 * row.accuracy), text: list.map(hover),
    hovertemplate: "%{text}<extra></extra>", type: "scatter", mode: "markers",
    error_x: {
      type: "data", symmetric: false, thickness: 1, width: 2, color: extra.marker.color,
      array: list.map((row) => row.latency_ci[1] - row.latency_ms),
      arrayminus: list.map((row) => row.latency_ms - row.latency_ci[0]),
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
      trace("MobileNetV2", marked, { marker: { color: ink, symbol: "diamond", size: 10 } }),
      trace("Pareto front", front, { mode: "lines+markers", line: { shape: "hv", width: 1.5, color: accent }, marker: { color: accent, size: 9 } }),
    ], {
      xaxis: { ...axis, title: { text: "latency (ms)" }, rangemode: "tozero" }, yaxis: { ...axis, title: { text: "validation accuracy (%)" } },
      shapes: lineAt, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif" },
      legend: { orientation: "h", y: 1.12 }, margin: { t: 30, r: 10, b: 45, l: 55 }, hovermode: "closest", hoverlabel: { align: "left" },
    }, { responsive: true, displaylogo: false });
  };
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();

// Draws charts of tables: <figure data-chart="#table">. A table's first column has
// the time in data-at, in seconds; each other one is a line. The table stays, for
// whoever does not see the picture.
"use strict";
(() => {
  const colours = ["--accent", "--bad", "--good", "--late", "--wait"];
  const dashes = [[], [6, 4], [2, 3], [10, 4, 2, 4], [1, 4]]; // told apart without colours, too
  const drawn = new Map();

  function read(table) {
    const heads = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
    const columns = [[], ...heads.map(() => [])];
    for (const row of table.tBodies[0].rows) {
      columns[0].push(Number(row.querySelector("[data-at]").dataset.at));
      [...row.cells].slice(1).forEach((cell, i) => columns[i + 1].push(cell.textContent.trim() === "" ? null : Number(cell.textContent)));
    }
    return { heads, columns };
  }

  function draw(figure) {
    const table = document.querySelector(figure.dataset.chart);
    if (!table || !table.tBodies[0]?.rows.length) return;
    const { heads, columns } = read(table);
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--muted").trim() || "#555";
    const grid = { stroke: style.getPropertyValue("--line").trim(), width: 1 };
    drawn.get(figure)?.destroy();
    figure.replaceChildren();
    drawn.set(figure, new uPlot({
      width: figure.clientWidth, height: 220, tzDate: (at) => figure.dataset.utc === undefined ? new Date(at * 1000) : uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      axes: [{ stroke: ink, grid }, { stroke: ink, grid, size: 60 }],
      series: [{}, ...heads.map((label, i) => ({
        label, width: 2, dash: dashes[i % dashes.length], points: { show: columns[0].length < 100 },
        stroke: style.getPropertyValue(colours[i % colours.length]).trim() || ink,
      }))],
    }, columns, figure));
  }

  function drawAll() {
    for (const [figure, chart] of drawn) {
      if (!figure.isConnected) { chart.destroy(); drawn.delete(figure); }
    }
    for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
  }

  // What a reader has opened stays open, and what has the focus stays as it is
  // until the reader has left it.
  let opened = [];
  document.addEventListener("htmx:before:swap", () => { opened = [...document.querySelectorAll("details[id][open]")].map((d) => d.id); });
  document.addEventListener("htmx:after:swap", () => { for (const id of opened) document.getElementById(id)?.setAttribute("open", ""); });
  document.addEventListener("htmx:before:request", (event) => {
    const source = event.target;
    if (source instanceof Element && source.id === "overview" && source.contains(document.activeElement)) event.preventDefault();
  });

  document.addEventListener("DOMContentLoaded", drawAll);
  document.addEventListener("htmx:after:swap", drawAll);
  addEventListener("resize", drawAll);
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();

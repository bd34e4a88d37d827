// Draws charts of tables: <figure data-chart="#table">. A table's first column has
// the time in data-at, in seconds; each other one is a line, of the numbers in
// data-value. Columns whose heads have different data-unit get a chart each, so that a
// large currency does not flatten a small one. data-tone of a head is its colour. The
// table stays, for people who do not see the picture. Arrow keys go from point to point.
"use strict";
(() => {
  const colours = ["--accent", "--bad", "--good", "--late", "--wait"];
  const dashes = [[], [6, 4], [2, 3], [10, 4, 2, 4], [1, 4]]; // told apart without colours, too
  const drawn = new Map(); // the charts of each figure

  // After an outage the largest value is many times the others: on a linear scale
  // these would be one flat line.
  const wide = 30;

  function read(table) {
    const heads = [...table.tHead.rows[0].cells].slice(1);
    const at = [];
    const lines = heads.map((head, i) => ({
      label: head.textContent.trim(), unit: head.dataset.unit ?? "", tone: head.dataset.tone ? "--" + head.dataset.tone : colours[i % colours.length], dash: dashes[i % dashes.length], values: [],
    }));
    for (const row of table.tBodies[0].rows) {
      at.push(Number(row.querySelector("[data-at]").dataset.at));
      [...row.cells].slice(1).forEach((cell, i) => lines[i].values.push(cell.dataset.value === undefined ? null : Number(cell.dataset.value)));
    }
    return { at, lines };
  }

  const seconds = (v) => v === null ? "–" : v < 1 ? Number((v * 1000).toPrecision(3)) + " ms" : v < 120 ? Number(v.toPrecision(3)) + " s" : v < 7200 ? Math.round(v / 60) + " min" : Math.round(v / 3600) + " h";
  const plain = (v) => v === null ? "–" : v.toLocaleString(undefined, { maximumFractionDigits: 6 });

  // Days and times as in the rest of the console: 11-27 and 07:05.
  const two = (n) => String(n).padStart(2, "0");
  const day = (d) => `${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}`;

  // The labels of the axis of time, at least step seconds apart: the day is said once.
  const times = (dates, step) => dates.map((d, i) => step >= 86400 ? day(d) : clock(d) + (i && day(dates[i - 1]) === day(d) ? "" : "\n" + day(d)));

  // Steps of an axis of counts: there is no half delivery.
  const wholeSteps = Array.from({ length: 45 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
  const areWhole = (lines) => lines.every((line) => line.values.every((v) => v === null || Number.isInteger(v)));

  // A line at zero has no dots, so that the others are seen.
  const dots = (values) => values.flatMap((v, i) => v ? [i] : []);

  // Empty is the browser's own. See app.js.
  function chosenZone() {
    try { return localStorage.getItem("zone") ?? ""; } catch { return ""; }
  }

  function isWide(lines) {
    const all = lines.flatMap((line) => line.values).filter((v) => v > 0);
    return all.length > 1 && Math.max(...all) / Math.min(...all) >= wide;
  }

  function options(figure, lines, points, height) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim() || "#555";
    const isTime = figure.dataset.unit === "s";
    const text = isTime ? seconds : plain;
    const grid = { stroke: colour("--line"), width: 1 };
    const isDaily = figure.dataset.utc !== undefined;
    const zone = isDaily ? "Etc/UTC" : chosenZone();
    const local = (at) => zone ? uPlot.tzDate(new Date(at * 1000), zone) : new Date(at * 1000);
    const most = (min, max) => max > 0 ? max * 1.05 : min < 0 ? 0 : 1; // nothing but zeros has an axis, too
    return {
      width: figure.clientWidth, height, cursor: { sync: { key: figure.dataset.chart } },
      tzDate: local,
      scales: { y: isTime && isWide(lines) ? { distr: 3, log: 10 } : { range: (_, min, max) => min === null ? [0, 1] : [Math.min(0, min), most(min, max)] } },
      axes: [{ stroke: colour("--muted"), grid, values: (_, splits, axis, space, step) => times(splits.map(local), step) }, { stroke: colour("--muted"), grid, size: 70, ...(!isTime && areWhole(lines) && { incrs: wholeSteps }), values: (_, splits) => splits.map((v) => v === null ? "" : text(v)) }],
      series: [{ label: "Time", value: (_, at) => at === null ? "–" : day(local(at)) + (isDaily ? "" : " " + clock(local(at))) }, ...lines.map((line) => ({
        label: line.label, width: 2, dash: line.dash, points: { show: points < 100, size: 5, filter: () => points < 100 ? dots(line.values) : null }, stroke: colour(line.tone), value: (_, v) => text(v),
      }))],
    };
  }

  function draw(figure) {
    const table = document.querySelector(figure.dataset.chart);
    if (!table || !table.tBodies[0]?.rows.length) return;
    const { at, lines } = read(table);
    for (const chart of drawn.get(figure) ?? []) chart.destroy();
    figure.replaceChildren();
    const units = [...new Set(lines.map((line) => line.unit))];
    drawn.set(figure, units.map((unit) => {
      const own = lines.filter((line) => line.unit === unit);
      return new uPlot(options(figure, own, at.length, units.length > 1 ? 150 : 220), [at, ...own.map((line) => line.values)], figure);
    }));
    figure.tabIndex = 0;
    figure.setAttribute("role", "group");
    const said = document.createElement("p");
    said.className = "hint chart-at";
    said.setAttribute("role", "status");
    figure.append(said);
  }

  // move puts the cursor on a point, and says what is there.
  function move(figure, key) {
    const charts = drawn.get(figure);
    if (!charts) return false;
    const last = charts[0].data[0].length - 1;
    const now = charts[0].cursor.idx ?? (key === "ArrowRight" ? -1 : last + 1);
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[key];
    if (to === undefined) return false;
    const idx = Math.min(Math.max(to, 0), last);
    for (const chart of charts) chart.setCursor({ left: chart.valToPos(chart.data[0][idx], "x"), top: chart.bbox.height / 4 }, false);
    for (const chart of charts) chart.setLegend({ idx });
    for (const chart of charts) chart.cursor.idx = idx;
    const row = document.querySelector(figure.dataset.chart).tBodies[0].rows[idx];
    const heads = document.querySelector(figure.dataset.chart).tHead.rows[0].cells;
    figure.querySelector(".chart-at").textContent = [...row.cells].map((cell, i) => i === 0 ? cell.textContent.trim() : `${heads[i].textContent.trim()} ${cell.textContent.trim() || "none"}`).join(", ");
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.target instanceof Element && event.target.matches("[data-chart]") && !event.ctrlKey && !event.metaKey && !event.altKey && move(event.target, event.key)) event.preventDefault();
  });

  function drawAll() {
    for (const [figure, charts] of drawn) {
      if (!figure.isConnected) { for (const chart of charts) chart.destroy(); drawn.delete(figure); }
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
  document.addEventListener("click", (event) => { if (event.target.closest?.("[data-zone-choice]")) setTimeout(drawAll); });
})();

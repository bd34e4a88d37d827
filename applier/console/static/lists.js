// Lists that are live, and whose rows can be marked.
"use strict";
(() => {
  // ---- Live lists: <section data-live-list hx-get=…>. New rows come in by themselves only
  // while nobody reads: at the top of the page, with nothing opened or marked, and no pointer
  // that moves over the rows. Else rows that are there are kept up to date in their places, and a button
  // says how many are new.
  let paused = false;
  let touched = -Infinity; // when the pointer last moved over a list
  const stillFor = 10000; // ms: a pointer that rests points at nothing
  let fresh = null; // what came last, and was held back

  function isReading(section) {
    if (paused || document.getElementById("panel")?.firstElementChild || scrollY > 40) return true;
    return performance.now() - touched < stillFor || Boolean(section.querySelector(":checked, tr:focus-within")) || String(getSelection()) !== "";
  }

  document.addEventListener("pointermove", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-live-list] tbody")) touched = performance.now();
  }, { passive: true });

  const rowsOf = (section) => [...section.querySelectorAll("tbody tr[id]")];
  const newsOf = (section) => document.querySelector(`[data-news="#${section.id}"]`);

  function say(section, count) {
    const button = newsOf(section);
    if (!button) return;
    button.hidden = count === 0;
    button.textContent = `${count}${count >= rowsOf(section).length ? " or more" : ""} new`;
  }

  // update keeps the cells of rows that are there, except the boxes, as they are now.
  function update(section, now) {
    const newest = new Map(rowsOf(now).map((row) => [row.id, row]));
    for (const row of rowsOf(section)) {
      const other = newest.get(row.id);
      newest.delete(row.id);
      if (!other || row.contains(document.activeElement) || row.cells.length !== other.cells.length) continue;
      [...row.cells].forEach((cell, i) => {
        const next = other.cells[i];
        if (cell.matches(".check") || cell.querySelector("a, time") || cell.innerHTML === next.innerHTML) return;
        cell.innerHTML = next.innerHTML;
      });
    }
    return newest.size;
  }

  async function look(section) {
    const answer = await fetch(section.getAttribute("hx-get"), { headers: { "Coinhook-Unasked": "true" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = page.getElementById(section.id);
    if (!now || !section.isConnected) return;
    fresh = now;
    say(section, paused ? rowsOf(now).filter((row) => !document.getElementById(row.id)).length : update(section, now));
  }

  document.addEventListener("htmx:before:request", (event) => {
    const section = event.target;
    if (!(section instanceof Element) || !section.matches("[data-live-list]")) return;
    if (!isReading(section)) { fresh = null; say(section, 0); return; }
    event.preventDefault();
    look(section).catch(() => { /* the next news ask again */ });
  });

  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const news = event.target.closest("[data-news]");
    const section = news && document.querySelector(news.dataset.news);
    if (section && fresh) {
      section.replaceWith(fresh);
      htmx.process(fresh);
      document.dispatchEvent(new CustomEvent("htmx:after:swap")); // times, marks
      scrollTo({ top: 0 });
      fresh.querySelector("[data-panel]")?.focus({ preventScroll: true });
      fresh = null;
      news.hidden = true;
    }
    const pause = event.target.closest("[data-pause]");
    if (pause) {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Paused" : "Pause";
    }
  });

  // ---- Marked rows: a form with boxes, a box for all, and a bar.
  function count(form) {
    const bar = form.querySelector("[data-marked-bar]");
    if (!bar) return;
    const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
    const marked = boxes.filter((box) => box.checked);
    const n = marked.length;
    bar.hidden = n === 0;
    for (const button of bar.querySelectorAll("[data-exactly]")) button.disabled = n !== Number(button.dataset.exactly);
    for (const button of bar.querySelectorAll("[data-some]")) button.disabled = !marked.some((box) => box.name === button.dataset.some);
    bar.querySelector("[data-marked-count]").textContent = `${n} marked:`;
    const all = form.querySelector("[data-mark-all]");
    const ids = boxes.filter((box) => box.name === "id"); // the box for all marks what can be replayed
    const markedIDs = ids.filter((box) => box.checked).length;
    if (all) { all.checked = markedIDs > 0 && markedIDs === ids.length; all.indeterminate = markedIDs > 0 && markedIDs < ids.length; all.disabled = ids.length === 0; }
  }

  const countAll = () => { for (const bar of document.querySelectorAll("[data-marked-bar]")) count(bar.closest("form")); };

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (!form?.querySelector("[data-marked-bar]")) return;
    if (event.target.matches("[data-mark-all]")) {
      for (const box of form.querySelectorAll("tbody input[type=checkbox][name=id]")) box.checked = event.target.checked;
    }
    count(form);
  });

  document.addEventListener("htmx:after:swap", countAll);
  addEventListener("pageshow", countAll);
})();

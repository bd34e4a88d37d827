// The page of a webhook: values of the sample go into the field that is armed.
"use strict";
(() => {
  let armed = null; // the id of the field that takes the next value
  let undo = null; // puts back what the last click replaced

  // Those of a part that is closed are not meant.
  const fields = () => [...document.querySelectorAll("#editor input[data-path]")].filter((f) => f.offsetParent !== null);
  // The first one that has to be filled. Those that may stay empty wait for their focus.
  const empty = () => fields().find((f) => f.value === "" && f.dataset.optional === undefined);

  // The name of a field as the page has it: "Field mapping 2" or "User".
  const nameOf = (field) => field.dataset.name ?? field.closest("fieldset.mapping")?.querySelector("legend")?.textContent ?? "this field";

  // The field with the list whose lines a mapping goes over; its other paths start at a line.
  function listFieldOf(field) {
    const list = field.closest("fieldset[data-list]")?.querySelector("[data-each]");
    return list && list !== field && list.offsetParent ? list : null;
  }

  // The innermost list that a path leads into, null if it leads into none. An index in
  // quotes is a name.
  function listOf(path) {
    let at = -1;
    for (let i = 0, quoted = false; i < path.length; i++) {
      if (quoted && path[i] === "\\") i++;
      else if (path[i] === "'") quoted = !quoted;
      else if (!quoted && /^\[\d+\]/.test(path.slice(i))) at = i;
    }
    return at < 0 ? null : path.slice(0, at);
  }

  // The path from a line of the list, null for what is in no line of it.
  function fromLine(path, list) {
    const index = path.startsWith(list) && path.slice(list.length).match(/^\[\d+\]/);
    if (!index) return null;
    const rest = path.slice(list.length + index[0].length);
    return rest.startsWith(".") ? rest.slice(1) : "$" + rest;
  }

  // What a click on a path writes into a field, or why it cannot.
  function fit(field, path, isList) {
    if (field.matches("[data-each]")) {
      const list = isList ? path : listOf(path);
      return list === null ? { why: path + " is in no list. Click on a value of one of the lines." } : { path: list };
    }
    const list = listFieldOf(field)?.value;
    if (list === undefined) return isList ? { why: path + " is a list. “Add a mapping of a list” goes over its lines." } : { path };
    const inside = isList ? null : fromLine(path, list);
    return inside === null ? { why: path + " is not in a line of " + list + ", and this mapping sees one line at a time." } : { path: inside };
  }

  function say(text, canUndo) {
    const line = document.getElementById("picking");
    if (!line) return;
    line.hidden = false;
    line.querySelector("[data-picking]").textContent = text;
    line.querySelector("[data-undo]").hidden = !canUndo;
  }

  // Exactly one field, or none, takes the next value, and it shows that it does.
  function arm(field) {
    armed = field?.id ?? null;
    for (const f of document.querySelectorAll("#editor input[data-path]")) f.classList.toggle("armed", f === field);
  }

  function armAndSay(field) {
    arm(field);
    if (field) say("A click on a value writes its path into " + nameOf(field) + ".", Boolean(undo));
    else say("Click into a path first: then a click on a value writes into it.", Boolean(undo));
  }

  // The path of a mapping or condition that a click is likely meant for: the first that has
  // to be filled, else that of the value.
  function pathOf(row) {
    const all = fields().filter((f) => f.closest(".mapping") === row);
    return all.find((f) => f.value === "" && f.dataset.optional === undefined) ?? all.find((f) => f.dataset.main !== undefined) ?? all[0];
  }

  // A focus anywhere in a mapping or condition arms its path.
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("#editor input[data-path], #editor .mapping");
    const field = row?.matches("input") ? row : row && pathOf(row);
    if (field && field.id !== armed) armAndSay(field);
  });

  function put(field, value, source, from) {
    field.value = value;
    if (source) source.value = from;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function pick(picked, isList) {
    let field = armed && document.getElementById(armed);
    if (!field) { armAndSay(null); return; }
    if (listFieldOf(field)?.value === "") field = listFieldOf(field); // it comes first
    const { path, why } = fit(field, picked, isList);
    if (why) { say(why, Boolean(undo)); return; }
    const source = document.getElementById(field.dataset.path || "");
    const [before, from, id] = [field.value, source?.value, field.id];
    put(field, path, source, "path");
    undo = () => {
      const again = document.getElementById(id);
      if (again) put(again, before, document.getElementById(again.dataset.path || ""), from);
      undo = null;
      armAndSay(again);
    };
    arm(empty() ?? null); // never one that has a value already
    const next = armed ? " The next click writes into " + nameOf(document.getElementById(armed)) + "." : "";
    say(nameOf(field) + ": " + (before ? before + " → " : "") + path + "." + next, true);
  }

  // A custom field is set: what is for currencies is out of the way.
  function fitTarget(select) {
    const row = select.closest("fieldset.mapping");
    if (!row) return;
    const isField = select.value.startsWith("field:");
    for (const part of row.querySelectorAll("[data-currency]")) part.hidden = isField;
    for (const part of row.querySelectorAll("[data-field]")) part.hidden = !isField;
  }

  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target.closest("#picking [data-undo]")) { undo?.(); return; }
    const button = event.target.closest("[data-pick]");
    if (button) pick(button.dataset.pick, button.dataset.list !== undefined);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches?.("select[data-target]")) fitTarget(event.target);
  });

  // The focus goes to what is new, once: later it would be taken from somebody who
  // types.
  function focusOnNews() {
    const news = document.querySelector("#editor [data-focus], #keys[data-focus]");
    if (!news) return;
    news.removeAttribute("data-focus");
    news.focus();
    news.scrollIntoView({ block: "nearest" });
  }

  // A form that came again knows nothing of the armed field.
  function refresh() {
    if (!document.getElementById("picking")) return;
    const line = document.getElementById("picking");
    const kept = armed && document.getElementById(armed);
    if (line.hidden || !kept?.classList.contains("armed")) armAndSay(kept || empty() || null);
  }

  document.addEventListener("htmx:after:swap", () => { focusOnNews(); refresh(); });

  document.addEventListener("DOMContentLoaded", () => {
    const page = document.querySelector("[data-address]");
    // What was made just now has an address of its own.
    if (page && location.pathname !== page.dataset.address) history.replaceState(history.state, "", page.dataset.address);
    focusOnNews();
    refresh();
  });
})();

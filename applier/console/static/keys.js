// The keyboard: / searches, j and k move in a list, x marks a row, g and a letter opens
// a page, ? lists the keys.
"use strict";
(() => {
  const isTyping = (target) => target instanceof Element && Boolean(target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]"));
  const shown = (element) => element.getClientRects().length > 0;
  const rows = () => [...document.querySelectorAll("main table.rows tbody tr, main table.list tbody tr")].filter(shown);
  const linkOf = (row) => row?.querySelector("[data-panel]") ?? row?.querySelector("a[href]");

  function currentRow(all) {
    const focused = document.activeElement?.closest?.("tr");
    return all.includes(focused) ? focused : all.find((row) => row.classList.contains("current"));
  }

  // The next row has the focus; where the panel is open, it shows that row.
  function move(step) {
    const all = rows();
    if (!all.length) return false;
    const at = all.indexOf(currentRow(all));
    const row = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1)];
    const link = linkOf(row);
    if (!link) return false;
    link.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    if (document.getElementById("panel")?.firstElementChild && link.matches("[data-panel]")) link.click();
    return true;
  }

  function mark() {
    const box = currentRow(rows())?.querySelector("input[type=checkbox]");
    box?.click();
    return Boolean(box);
  }

  function search() {
    const box = document.getElementById("search");
    if (!box) return false;
    box.focus();
    box.select();
    return true;
  }

  function open(letter) {
    const link = document.querySelector(`[data-key="${CSS.escape(letter)}"]`);
    link?.click();
    return Boolean(link);
  }

  const actions = {
    "/": search,
    j: () => move(1), k: () => move(-1),
    ArrowDown: () => Boolean(document.activeElement?.closest("table.rows, table.list")) && move(1),
    ArrowUp: () => Boolean(document.activeElement?.closest("table.rows, table.list")) && move(-1),
    x: mark,
    "?": list,
  };

  const keys = [
    [["/"], "Search"], [["j", "k"], "Next and previous row of a list"], [["Enter"], "Open the row"], [["x"], "Mark the row"],
    [["Esc"], "Close the details"], [["?"], "This list"],
  ];

  function element(name, ...children) {
    const made = document.createElement(name);
    made.append(...children);
    return made;
  }

  // The list of keys, with those of the pages.
  function list() {
    let dialog = document.getElementById("shortcuts");
    if (!dialog) {
      const pages = [...document.querySelectorAll("[data-key]")].map((link) => [["g", link.dataset.key], link.textContent.trim()]);
      const close = element("form", element("button", "Close"));
      close.method = "dialog";
      close.className = "actions";
      close.firstChild.className = "secondary";
      dialog = element("dialog", element("h2", "Keyboard shortcuts"),
        element("dl", ...[...keys, ...pages].flatMap(([names, does]) => [
          element("dt", ...names.flatMap((name) => [element("kbd", name), " "])), element("dd", does)])), close);
      dialog.id = "shortcuts";
      dialog.setAttribute("aria-label", "Keyboard shortcuts");
      document.body.append(dialog);
    }
    dialog.showModal();
    return true;
  }

  document.addEventListener("click", (event) => { if (event.target.closest?.("[data-shortcuts]")) list(); });

  let after = 0; // until when a letter follows g
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const goes = event.timeStamp < after;
    after = 0;
    if (!goes && event.key === "g") { after = event.timeStamp + 1500; return; }
    if (goes ? open(event.key) : actions[event.key]?.()) event.preventDefault();
  });
})();

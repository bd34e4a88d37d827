// The page of a webhook: values of the sample go into the field that was used last.
"use strict";
(() => {
  let last = null; // the id of the field that takes the next value

  // Those of a part that is closed are not meant.
  const fields = () => [...document.querySelectorAll("#editor input[data-path]")].filter((f) => f.offsetParent !== null);

  // Whoever is at a mapping or condition means its path.
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("input[data-path], .mapping");
    const field = row?.matches("input") ? row : row?.querySelector("input[data-path]");
    if (field) last = field.id;
  });

  // The first field that is empty is meant, where none was used.
  function target() {
    return (last && document.getElementById(last)) || fields().find((f) => f.value === "") || fields()[0];
  }

  function pick(path) {
    const field = target();
    if (!field) return;
    field.value = path;
    const source = document.getElementById(field.dataset.path || "");
    if (source) source.value = "path";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
    last = fields().find((f) => f.value === "")?.id ?? null; // the next value is for the next field
  }

  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-pick]");
    if (button) pick(button.dataset.pick);
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

  document.addEventListener("htmx:after:swap", focusOnNews);

  document.addEventListener("DOMContentLoaded", () => {
    const page = document.querySelector("[data-address]");
    // What was made just now has an address of its own.
    if (page && location.pathname !== page.dataset.address) history.replaceState(history.state, "", page.dataset.address);
    focusOnNews();
  });
})();

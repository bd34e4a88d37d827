// What pages do beyond htmx. It is loaded before the page is drawn, for the theme.
"use strict";
(() => {
  const root = document.documentElement;
  const themes = ["light", "dark"];

  function storedTheme() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }

  function applyTheme(theme) {
    if (themes.includes(theme)) root.dataset.theme = theme;
  }

  applyTheme(storedTheme());

  function switchTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const theme = dark ? "light" : "dark";
    applyTheme(theme);
    try { localStorage.setItem("theme", theme); } catch { /* until the next page, then */ }
  }

  // Times come in UTC and are shown in the browser's own zone.
  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

  function localize(scope) {
    for (const time of scope.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.title = time.dateTime;
      time.textContent = clock.format(at);
    }
  }

  // The panel beside the list.
  let opener = null;

  function closePanel() {
    const panel = document.getElementById("panel");
    if (!panel || !panel.firstElementChild) return false;
    panel.replaceChildren();
    document.body.classList.remove("with-panel");
    const link = opener && document.querySelector(`[data-panel][href="${CSS.escape(opener)}"]`);
    if (link) link.focus();
    return true;
  }

  document.addEventListener("click", (event) => {
    const target = event.target;
    if (!(target instanceof Element)) return;
    if (target.closest("[data-theme-switch]")) switchTheme();
    if (target.closest("[data-close-panel]")) closePanel();
    const copy = target.closest("[data-copy]");
    if (copy) {
      const text = document.querySelector(copy.dataset.copy)?.textContent ?? "";
      navigator.clipboard?.writeText(text.trim()).then(() => { copy.textContent = "Copied"; });
    }
    const link = target.closest("[data-panel]");
    if (link) opener = link.getAttribute("href");
    // A click anywhere in a row opens what its link opens.
    const row = target.closest("table.rows tbody tr");
    if (row && !target.closest("a, button, input, label, summary") && String(getSelection()) === "") {
      row.querySelector("[data-panel]")?.click();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && closePanel()) event.preventDefault();
  });

  document.addEventListener("htmx:after:swap", () => {
    localize(document);
    const panel = document.getElementById("panel");
    const opened = Boolean(panel?.firstElementChild);
    const before = document.body.classList.contains("with-panel");
    document.body.classList.toggle("with-panel", opened);
    if (opened && !before) panel.focus({ preventScroll: true });
  });

  // What could not be done is said above the page, which stays as it is, until the
  // same thing works, or what it is a part of.
  const asker = (ctx) => ctx?.sourceElement?.id ?? "";
  let unanswered = null;

  document.addEventListener("htmx:response:error", (event) => { unanswered = asker(event.detail.ctx); });

  document.addEventListener("htmx:error", (event) => {
    const ctx = event.detail.ctx;
    if (!ctx || ctx.response) return;
    unanswered = asker(ctx);
    const text = document.createElement("p");
    text.className = "problem";
    text.textContent = "The console does not answer. The page is as it was, with what you typed: try again in a moment.";
    document.getElementById("notice")?.replaceChildren(text);
  });

  document.addEventListener("htmx:after:request", (event) => {
    const ctx = event.detail.ctx;
    if (unanswered === null || !ctx.response || ctx.response.status >= 400) return;
    const isPart = unanswered && ctx.sourceElement?.querySelector("#" + CSS.escape(unanswered));
    if (asker(ctx) !== unanswered && !isPart) return;
    unanswered = null;
    document.getElementById("notice")?.replaceChildren();
  });

  // A form is sent once: what a second click sends would be about what was there
  // before the first. It can be sent again when it was changed, or when the browser
  // was told to stop.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "true";
    setTimeout(() => { delete form.dataset.sent; }, 5000);
  });

  document.addEventListener("input", (event) => {
    if (event.target.form) delete event.target.form.dataset.sent;
  });

  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // The server says so when the session has ended. Pages that hear it have nothing
  // that was typed.
  document.addEventListener("signed-out", () => {
    location.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search);
  });

  document.addEventListener("DOMContentLoaded", () => {
    localize(document);
    for (const button of document.querySelectorAll("[data-theme-switch]")) button.hidden = false;
  });
})();

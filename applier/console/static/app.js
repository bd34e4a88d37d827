// Behaviour of pages beyond htmx: theme, times, the panel, busy states. It is loaded before
// the page is drawn, for the theme. keys.js has the keyboard.
"use strict";
(() => {
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);

  // ---- What a person chose, in this browser. Storage may be forbidden.
  function stored(key) {
    try { return localStorage.getItem(key) ?? ""; } catch { return ""; }
  }

  function store(key, value) {
    try { value ? localStorage.setItem(key, value) : localStorage.removeItem(key); } catch { /* until the next page, then */ }
  }

  // A fieldset of buttons of which one is chosen.
  function choice(name, chosen, onChoose) {
    for (const set of document.querySelectorAll(`[data-${name}-choice]`)) {
      const show = (value) => { for (const b of set.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b.value === value)); };
      show(chosen);
      set.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) { show(button.value); onChoose(button.value); }
      });
    }
  }

  // ---- Theme: light, dark, or the system's.
  function applyTheme(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme; else delete root.dataset.theme;
  }

  applyTheme(stored("theme"));

  // ---- Times come in UTC and are shown in the browser's zone, or in UTC. The server
  // reads the zone from a cookie, so that filters mean the same zone as rows.
  const zone = () => stored("zone") || Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

  function tellZone() {
    document.cookie = `zone=${encodeURIComponent(zone())}; path=/; max-age=31536000; samesite=lax`;
  }

  tellZone();

  // 2026-11-27 00:04:31, the same in every language.
  function exact(at, parts) {
    const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone(), dateStyle: "short", timeStyle: "medium" });
    return parts ? format.format(at) : `${format.format(at)} ${zoneName(at)}`;
  }

  function zoneName(at) {
    const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone(), timeZoneName: "short" });
    return format.formatToParts(at).find((p) => p.type === "timeZoneName")?.value ?? zone();
  }

  // The words of view.go's relative.
  function relative(at, now) {
    const seconds = Math.round((now - at) / 1000);
    const ahead = seconds < 0;
    const s = Math.abs(seconds);
    const text = s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
    if (s >= 7 * 86400) return exact(at, true).slice(0, 16);
    return ahead ? `in ${text}` : s < 2 ? "now" : `${text} ago`;
  }

  function localize(scope) {
    const now = Date.now();
    for (const time of scope.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      const long = exact(at), isExact = time.hasAttribute("data-exact");
      const text = isExact ? long : relative(at, now);
      const title = isExact ? relative(at, now) : long;
      if (time.textContent !== text) time.textContent = text;
      if (time.title !== title) time.title = title;
    }
    for (const name of scope.querySelectorAll("[data-zone]")) name.textContent = zoneName(new Date());
  }

  setInterval(() => { if (!document.hidden) localize(document); }, 10000);

  // ---- The panel next to a list. Its address is the list's with ?open=…: a link to it
  // can be sent, and Back closes it.
  const panelOf = (link) => link.getAttribute("href").split("/").pop().split("?")[0];
  const opened = () => new URLSearchParams(location.search).get("open");
  const linkTo = (id) => [...document.querySelectorAll("main [data-panel]")].find((link) => panelOf(link) === id);

  function addressWith(id) {
    const url = new URL(location.href);
    id ? url.searchParams.set("open", id) : url.searchParams.delete("open");
    return url.pathname + url.search + url.hash;
  }

  function markRow() {
    const id = opened();
    for (const row of document.querySelectorAll("tr.current")) row.classList.remove("current");
    if (id) linkTo(id)?.closest("tr")?.classList.add("current");
  }

  function showPanel(id) {
    htmx.ajax("GET", "/deliveries/" + encodeURIComponent(id), { target: "#panel" });
  }

  function emptyPanel() {
    if (!$("panel")?.firstElementChild) return false;
    $("panel").replaceChildren();
    document.body.classList.remove("with-panel");
    return true;
  }

  function closePanel() {
    const id = opened();
    if (!emptyPanel()) return false;
    if (history.state?.panel) history.back(); else if (id) history.replaceState(null, "", addressWith(null));
    if (id) linkTo(id)?.focus();
    markRow();
    return true;
  }

  function rememberPanel(link) {
    const id = panelOf(link);
    if (!id || id === opened()) return;
    const panels = (history.state?.panel ?? 0) + 1;
    if (opened()) history.replaceState(history.state, "", addressWith(id));
    else history.pushState({ panel: panels }, "", addressWith(id));
    markRow();
  }

  addEventListener("popstate", () => {
    const id = opened();
    if (id) showPanel(id); else if (emptyPanel()) markRow();
  });

  // ---- Clicks.
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (!(target instanceof Element)) return;
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
    if (target.closest("[data-close-panel]")) closePanel();
    const copy = target.closest("[data-copy]");
    if (copy) {
      const text = document.querySelector(copy.dataset.copy)?.textContent ?? "";
      navigator.clipboard?.writeText(text.trim()).then(() => { copy.textContent = "Copied"; });
    }
    const link = target.closest("[data-panel]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) rememberPanel(link);
    // A click anywhere in a row opens what its link opens.
    const row = target.closest("table.rows tbody tr");
    if (row && !target.closest("a, button, input, label, summary") && String(getSelection()) === "") {
      row.querySelector("[data-panel]")?.click();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); event.preventDefault(); }
    else if (!document.querySelector("dialog[open]") && closePanel()) event.preventDefault();
  });

  document.addEventListener("htmx:after:swap", () => {
    localize(document);
    markRow();
    const isOpen = Boolean($("panel")?.firstElementChild);
    const before = document.body.classList.contains("with-panel");
    document.body.classList.toggle("with-panel", isOpen);
    if (isOpen && !before) $("panel").focus({ preventScroll: true });
  });

  // ---- Busy: after 100 ms the button says so, after 8 s a line says that it is slow.
  const working = new Map(); // element -> {timers, line}
  const isUnasked = (ctx) => Boolean(ctx?.request?.headers?.["Coinhook-Unasked"]);

  const busy = (element) => element === root ? "data-busy" : "aria-busy"; // <html> takes no aria-busy

  function begin(element) {
    end(element);
    element.parentElement?.querySelectorAll(":scope > .unanswered").forEach((line) => line.remove());
    const work = { timers: [] };
    work.timers.push(setTimeout(() => element.setAttribute(busy(element), "true"), 100));
    work.timers.push(setTimeout(() => { work.line = say(element, "slow", "status", "This takes longer than usual. It is still running: wait, or reload the page later."); }, 8000));
    working.set(element, work);
  }

  function end(element) {
    const work = working.get(element);
    if (!work) return;
    working.delete(element);
    work.timers.forEach(clearTimeout);
    work.line?.remove();
    element.removeAttribute(busy(element));
  }

  function say(element, kind, role, text) {
    const line = document.createElement("span");
    line.className = kind;
    line.setAttribute("role", role);
    line.textContent = text;
    if (element === root) $("notice")?.append(line); else element.after(line);
    return line;
  }

  const buttonOf = (ctx) => {
    const source = ctx?.submitter ?? ctx?.sourceEvent?.submitter ?? ctx?.sourceElement;
    return source?.matches?.("button, [role=button]") ? source : null;
  };

  document.addEventListener("htmx:before:request", (event) => {
    const ctx = event.detail.ctx;
    if (isUnasked(ctx)) return;
    begin(buttonOf(ctx) ?? root);
  });

  document.addEventListener("htmx:finally:request", (event) => {
    const ctx = event.detail.ctx;
    if (!isUnasked(ctx)) end(buttonOf(ctx) ?? root);
  });

  // A link that is followed has the page say that it works.
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("a[href]");
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || event.defaultPrevented || !isPlain || link.target || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
    begin(root);
  });

  // ---- Failures. What could not be done is said above the page, which stays as it is,
  // and next to the button, until the same thing works, or what it is a part of.
  const asker = (ctx) => ctx?.sourceElement?.id ?? "";
  let unanswered = null;

  function sayNext(ctx, text) {
    const button = buttonOf(ctx);
    if (button) say(button, "wrong unanswered", "status", text);
  }

  document.addEventListener("htmx:response:error", (event) => {
    const ctx = event.detail.ctx;
    unanswered = asker(ctx);
    if (!isUnasked(ctx)) sayNext(ctx, "Not done: the message above says why.");
  });

  document.addEventListener("htmx:error", (event) => {
    const ctx = event.detail.ctx;
    if (!ctx || ctx.response) return;
    unanswered = asker(ctx);
    const text = document.createElement("p");
    text.className = "problem";
    text.textContent = "The console does not answer. The page is as it was, with what you typed: try again in a moment.";
    $("notice")?.replaceChildren(text);
    if (!isUnasked(ctx)) sayNext(ctx, "Not done: the console does not answer. Try again in a moment.");
  });

  document.addEventListener("htmx:after:request", (event) => {
    const ctx = event.detail.ctx;
    if (unanswered === null || !ctx.response || ctx.response.status >= 400) return;
    const isPart = unanswered && ctx.sourceElement?.querySelector("#" + CSS.escape(unanswered));
    if (asker(ctx) !== unanswered && !isPart) return;
    unanswered = null;
    $("notice")?.replaceChildren();
    for (const line of document.querySelectorAll(".unanswered")) line.remove();
  });

  // A form is sent once: what a second click sends would be about what was there
  // before the first. It can be sent again when it was changed, or when the browser
  // was told to stop.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method === "dialog") return;
    if (form.method === "post") {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "true";
      setTimeout(() => { delete form.dataset.sent; }, 5000);
    }
    if (!event.defaultPrevented && event.submitter) begin(event.submitter);
  });

  document.addEventListener("input", (event) => {
    if (event.target.form) delete event.target.form.dataset.sent;
  });

  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const element of [...working.keys()]) end(element);
  });

  // The server says so when the session has ended. Pages that hear it have nothing
  // that was typed.
  document.addEventListener("signed-out", () => {
    location.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search);
  });

  document.addEventListener("DOMContentLoaded", () => {
    localize(document);
    for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
    choice("theme", stored("theme"), (theme) => { store("theme", theme); applyTheme(theme); });
    choice("zone", stored("zone"), (name) => { store("zone", name); tellZone(); location.reload(); });
    markRow();
  });
})();

// Pages work without this. With it, parts marked data-live follow what changes, and search fields search while one types.
"use strict";

(() => {
  document.documentElement.classList.add("scripted");
  const words = document.body.dataset; // the texts that this shows, in the person's language
  const main = document.getElementById("main");
  const parts = () => [...document.querySelectorAll("[data-live]")];
  let latest = 0; // of several answers only the one asked for last is shown
  let missed = false; // something has changed that the page doesn't show, because it couldn't be loaded or isn't in sight

  // isTyping reports whether somebody is at work in a field of an element, or has typed what isn't sent yet. What is typed into a
  // live search is in the address, which shows it again.
  const textFields = "input:not([type=checkbox], [type=radio], [type=hidden], [data-live-search]), select, textarea";
  const isTyping = (within) => [within, ...within.querySelectorAll(textFields)]
    .some((field) => field.matches(textFields) && (field === document.activeElement || isChanged(field)));
  const isChanged = (field) => (field.matches("select")
    ? field.selectedIndex !== Math.max([...field.options].findIndex((option) => option.defaultSelected), 0)
    : field.value !== field.defaultValue);

  // here is the address that shows this page. A list that answers a form has the form's address, which shows nothing.
  const here = () => {
    const back = document.querySelector("[data-count]")?.closest("form").elements.back?.value;
    return back && new URL(back, location.href).pathname !== location.pathname ? back : location.href;
  };

  // refresh fetches a page and shows its live parts, but for one in which somebody is at work.
  async function refresh(address) {
    const turn = ++latest;
    missed = false; // what changes from now on may be missing from this answer
    let text;
    try {
      const answer = await fetch(address, { headers: { "Staykey-Live": "1" }, credentials: "same-origin" });
      if (answer.status === 401) { // the session has ended: to sign in may wait until what is typed is sent
        if (!isTyping(main)) location.reload();
        return;
      }
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) return; // asking again won't help
      if (!answer.ok) throw new Error(answer.statusText);
      text = await answer.text();
    } catch {
      missed = true;
      if (turn === latest) setTimeout(() => { if (turn === latest && !document.hidden) refresh(address); }, 5000);
      return;
    }
    if (turn !== latest) return;
    if (panel) fillPanel(panel.dataset.from).catch(() => {});
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of parts()) {
      const other = fresh.getElementById(part.id);
      if (other) follow(part, other);
    }
    for (const tell of counts) tell();
  }

  // follow has an element of the page show what another one does. It keeps each node that both have: so the focus stays where it
  // is, and so does what somebody has typed, ticked, chosen or unfolded.
  function follow(element, other) {
    const focused = document.activeElement;
    update(element, other);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true }); // it was moved
  }

  // keyOf names a node among its siblings. Rows and other items are named by what they are about, so that a button never becomes
  // that of another guest; what has no name is the next of its kind.
  function keyOf(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeName;
    const field = (element) => `${element.getAttribute("name")}=${element.matches("button, [type=checkbox], [type=radio], [type=hidden]") ? element.getAttribute("value") : ""}`;
    const own = (element) => element.id || element.dataset.key || element.getAttribute("href") || element.getAttribute("action") ||
      element.getAttribute("datetime") || (element.hasAttribute("name") && field(element));
    const named = "a[href], [id], time[datetime], [name][value]:not([name=csrf], [name=back])";
    const about = node.matches("tr, li") ? node.querySelector(named) : null;
    return `${node.tagName} ${node.getAttribute("role") ?? ""} ${own(node) || (about && own(about)) || ""}`;
  }

  function update(node, other) {
    if (node.isEqualNode(other)) return;
    if (node.nodeType !== Node.ELEMENT_NODE) {
      node.data = other.data;
      return;
    }
    if (node.matches("select, textarea") && (node === document.activeElement || isChanged(node))) return;
    const isUsed = (name) => (name === "open" && node.matches("details")) || (name === "value" && node === document.activeElement);
    const isKept = (name) => name === "checked" && node.matches("[type=checkbox]"); // a refused form's ticks, which its list hasn't got
    for (const { name } of [...node.attributes]) if (!other.hasAttribute(name) && !isUsed(name) && !isKept(name)) node.removeAttribute(name);
    for (const { name, value } of other.attributes) if (node.getAttribute(name) !== value && !isUsed(name)) node.setAttribute(name, value);

    const free = new Map();
    for (const child of node.childNodes) free.set(keyOf(child), [...free.get(keyOf(child)) ?? [], child]);
    const shown = [...other.childNodes].map((theirs) => {
      const same = free.get(keyOf(theirs))?.shift();
      if (same) update(same, theirs);
      return same ?? theirs;
    });
    const stays = new Set(shown);
    for (const child of [...free.values()].flat()) if (child.nodeType !== Node.ELEMENT_NODE || !isTyping(child)) child.remove();
    let at = node.firstChild;
    for (const child of shown) {
      while (at && !stays.has(at)) at = at.nextSibling; // somebody is at work in it
      if (child === at) at = at.nextSibling;
      else node.insertBefore(child, at);
    }
  }

  for (const field of document.querySelectorAll("[data-live-search]")) {
    let timer;
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const address = new URL(location.href);
        address.searchParams.set("q", field.value.trim());
        address.searchParams.delete("cursor");
        if (!field.value.trim()) address.searchParams.delete("q");
        history.replaceState(null, "", address);
        for (const same of document.querySelectorAll("form.filters input[type=hidden][name=q]")) same.value = field.value.trim();
        refresh(address);
      }, 150);
    });
  }

  // A choice that has a button of its own is made at once.
  for (const choice of document.querySelectorAll("[data-submit]")) choice.addEventListener("change", () => choice.form.submit());

  // One box ticks all of a name, and a field narrows a list of choices to those that have its words. What is ticked stays in sight.
  document.addEventListener("change", ({ target }) => {
    if (!target.dataset.all) return;
    for (const box of document.querySelectorAll(`input[name="${target.dataset.all}"]`)) box.checked = target.checked;
  });
  // A list says how many of its rows are ticked, and what is done to them comes back to the list as it is now.
  const counts = [];
  for (const count of document.querySelectorAll("[data-count]")) {
    const tell = () => { count.textContent = words.selected.replace("{n}", document.querySelectorAll(`input[name="${count.dataset.count}"]:checked`).length); };
    document.addEventListener("change", tell);
    counts.push(tell);
    tell();
    count.closest("form").addEventListener("submit", (event) => {
      const now = new URL(here(), location.href);
      now.searchParams.delete("done");
      event.target.elements.back.value = now.pathname + now.search;
    });
  }
  for (const undo of document.querySelectorAll("[data-undo]")) setTimeout(() => { undo.hidden = true; }, undo.dataset.undo * 1000);

  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  for (const field of document.querySelectorAll("[data-narrows]")) {
    field.addEventListener("input", () => {
      const words = plain(field.value).split(/\s+/).filter(Boolean);
      for (const choice of document.querySelectorAll(`#${field.dataset.narrows} label`)) {
        const text = plain(choice.textContent);
        choice.hidden = !choice.querySelector("input").checked && !words.every((w) => text.includes(w));
      }
    });
    // Enter sets the only door that is left for the selected listings.
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      const left = [...document.querySelectorAll(`#${field.dataset.narrows} label`)].filter((choice) => !choice.hidden);
      if (left.length !== 1 || !field.value.trim() || !field.form.querySelector("[name=listing]:checked")) return;
      left[0].querySelector("input").checked = true;
      field.form.querySelector("button[value=replace]").click();
    });
  }

  // What somebody has typed into a form survives an answer that is no success: the end of the session (the way through sign-in leads
  // back to it), a refusal, an error of the server, or none at all. The draft is in this tab only, until the form has been taken.
  const draftKept = 30 * 60 * 1000; // milliseconds
  const drafts = {
    get() {
      try {
        const draft = JSON.parse(sessionStorage.getItem("draft"));
        return draft && Date.now() - draft.at < draftKept ? draft : null;
      } catch { return null; }
    },
    set(draft) { try { sessionStorage.setItem("draft", JSON.stringify(draft)); } catch { /* it can't be kept */ } },
    drop() { try { sessionStorage.removeItem("draft"); } catch { /* there is none */ } },
  };
  // nameOf names a field in its form: rows of doors by what they are about, boxes by their values, others by their places.
  const nameOf = (field, fields) => {
    const box = field.matches("[type=checkbox], [type=radio]");
    return [field.name, field.name === "typed" ? field.previousElementSibling.value : (box ? field.value : fields.filter((f) => f.name === field.name).indexOf(field))].join(" ");
  };
  const fieldsOf = (form) => [...form.elements].filter((f) => f.name && f.matches("input:not([type=hidden], [type=file], [type=password]), select, textarea"));
  const targetOf = (form) => new URL(form.getAttribute("action") || location.href, location.href).pathname; // form.action may be a field
  const formsFor = (draft) => [...document.forms].filter((form) => form.method === "post" && targetOf(form) === draft.action);
  function keepDraft(form, failed) {
    const fields = fieldsOf(form);
    const values = fields.filter((f) => (f.matches("[type=checkbox], [type=radio]") ? f.checked !== f.defaultChecked : isChanged(f)))
      .map((f) => [nameOf(f, fields), f.matches("[type=checkbox], [type=radio]") ? f.checked : f.value]);
    const page = new URL(form.closest(".panel")?.dataset.from || form.elements.back?.value || location.href, location.href);
    if (values.length || form.querySelector("[type=file]")) drafts.set({ page: page.pathname + page.search, action: targetOf(form), values, failed, at: Date.now() });
  }
  function restoreDraft(draft) {
    const note = document.createElement("p");
    note.className = "note";
    note.setAttribute("role", "status");
    note.textContent = words.restored;
    for (const form of formsFor(draft)) {
      const fields = fieldsOf(form);
      const found = draft.values.map(([name, value]) => [fields.find((f) => nameOf(f, fields) === name), value]).filter(([field]) => field);
      if (!found.length) continue;
      for (const [field, value] of found) {
        if (field.matches("[type=checkbox], [type=radio]")) field.checked = value;
        else field.value = value;
        field.closest("details")?.setAttribute("open", "");
        field.dispatchEvent(new Event("change", { bubbles: true }));
      }
      main.prepend(note);
      (found.findLast(([field]) => field.matches("input:not([type=checkbox], [type=radio]), textarea")) ?? found[0])[0].focus();
      return;
    }
  }
  function followDraft() {
    const draft = drafts.get();
    if (!draft) return;
    const next = document.querySelector("form[action='/sign-in'] [name=next]"), back = document.querySelector("[data-refused] a");
    if (next || back) { // nothing was taken
      drafts.set({ ...draft, failed: true });
      if (back) { back.href = draft.page; back.textContent = words.goBack; return; }
      next.value = draft.page;
      const provider = document.querySelector("a.primary[href*='next=']");
      if (provider) {
        const address = new URL(provider.href);
        address.searchParams.set("next", draft.page);
        provider.href = address;
      }
      return;
    }
    // Who comes back to a form by another way than its answer hasn't got one.
    const failed = draft.failed || performance.getEntriesByType("navigation")[0]?.type !== "navigate";
    const here = location.pathname + location.search === draft.page;
    if (failed && !here) return; // it is offered where it was typed
    drafts.drop();
    if (failed) restoreDraft(draft);
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || targetOf(form) === "/sign-in") return;
    if (form.matches(".person")) { drafts.drop(); return; }
    if (navigator.onLine) { keepDraft(form, false); return; }
    event.preventDefault();
    const note = form.querySelector("[data-offline]") ?? document.createElement("p");
    note.className = "problem";
    note.dataset.offline = "";
    note.setAttribute("role", "alert");
    note.textContent = words.offline;
    form.append(note);
  });

  // Doors typed into a row are saved while the next row is filled in. After the last row the form itself is sent, which loads the
  // rows that are left, as it does without this for every row.
  const typed = document.getElementById("typed");
  if (typed) {
    const status = typed.querySelector("[data-typed-status]");
    const saving = new Set();
    const saveRow = async (field) => {
      const cell = field.closest("td");
      const refuse = (text) => {
        cell.querySelector(".why")?.remove();
        field.setAttribute("aria-invalid", "true");
        const why = document.createElement("div");
        why.className = "why overdue wrap";
        why.textContent = text;
        cell.append(why);
      };
      const body = new URLSearchParams({ csrf: typed.elements.csrf.value, back: typed.elements.back.value, row: field.previousElementSibling.value, typed: field.value });
      let answer, text;
      try {
        answer = await fetch(typed.action, { method: "POST", body, headers: { "Staykey-Live": "1" }, credentials: "same-origin" });
        text = await answer.text();
      } catch { // it stays in its field, and is sent with the form
        status.textContent = `${field.getAttribute("aria-label")}: ${words.offline}`;
        refuse(words.offline);
        return;
      }
      if (answer.status === 401) {
        keepDraft(typed, true);
        location.reload(); // asks to sign in
        return;
      }
      const fresh = new DOMParser().parseFromString(text, "text/html");
      const doors = fresh.getElementById("saved"), outcome = fresh.getElementById("outcome") ?? fresh.querySelector("main .problem, main p");
      status.textContent = `${field.getAttribute("aria-label")}: ${outcome?.textContent ?? ""}`;
      if (doors?.children.length) { cell.innerHTML = doors.innerHTML; return; }
      refuse(outcome?.querySelector("li")?.textContent ?? outcome?.textContent ?? "");
    };
    typed.addEventListener("submit", async (event) => {
      const fields = [...typed.elements.typed?.length ? typed.elements.typed : [typed.elements.typed]].filter(Boolean);
      const at = fields.indexOf(document.activeElement);
      event.preventDefault();
      if (at < 0 || at === fields.length - 1) {
        await Promise.all(saving);
        keepDraft(typed, false);
        typed.submit();
        return;
      }
      fields[at + 1].focus();
      if (!fields[at].value.trim()) return;
      const save = saveRow(fields[at]);
      saving.add(save);
      save.finally(() => saving.delete(save));
    });
  }

  // Phones fold filters away: the button tells how many are set. Elsewhere they stay in sight, and headers of tables below them.
  const fold = document.querySelector(".filters-button");
  if (fold) {
    const fields = [...document.getElementById("filters").elements].filter((f) => f.name && f.type !== "hidden");
    const set = fields.filter((f) => (f.type === "checkbox" ? f.checked : f.matches("select") ? f.selectedIndex > 0 : f.value)).length;
    if (set) fold.querySelector("[data-filters]").textContent = `(${set})`;
    fold.addEventListener("click", () => { fold.setAttribute("aria-expanded", fold.getAttribute("aria-expanded") !== "true"); });
  }
  const sticky = [...document.querySelectorAll("[data-sticky], main > .filters-button")];
  const measure = () => {
    const height = sticky.filter((s) => getComputedStyle(s).position === "sticky").reduce((sum, s) => sum + s.offsetHeight, 0);
    document.documentElement.style.setProperty("--stuck", `${height}px`);
  };
  if (sticky.length) {
    const sizes = new ResizeObserver(measure);
    for (const s of sticky) sizes.observe(s);
  }

  for (const button of document.querySelectorAll("[data-print]")) { button.hidden = false; button.addEventListener("click", () => print()); }

  // A link marked data-panel opens its page in a panel next to the list. Without this, or with Ctrl, it is a link like any other.
  let panel, opener;
  const closePanel = () => {
    if (!panel) return;
    panel.remove();
    panel = undefined;
    const again = [...document.querySelectorAll("[data-panel]")].find((a) => a.getAttribute("href") === opener);
    again?.focus();
  };
  async function fillPanel(address) {
    const answer = await fetch(address, { headers: { "Staykey-Live": "1" }, credentials: "same-origin" });
    if (answer.status === 401 && !isTyping(main)) location.reload();
    if (!answer.ok || !panel || panel.dataset.from !== address) return answer.ok;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    if (!panel || panel.dataset.from !== address) return true;
    const body = panel.querySelector("div.panel-body"), other = body.cloneNode();
    other.append(...fresh.childNodes);
    follow(body, other);
    return true;
  }
  document.addEventListener("click", async (event) => {
    if (event.target.closest("button[data-close]")) { closePanel(); return; }
    const link = event.target.closest("a[data-panel]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    opener = link.getAttribute("href");
    panel?.remove();
    panel = document.createElement("section");
    panel.className = "panel";
    panel.setAttribute("role", "dialog");
    panel.setAttribute("aria-label", link.textContent);
    panel.tabIndex = -1;
    panel.dataset.from = opener;
    panel.innerHTML = '<p class="actions"><a class="button quiet"></a> <button type="button" class="quiet" data-close></button></p><div class="panel-body"></div>';
    panel.querySelector("a").href = opener;
    panel.querySelector("a").textContent = words.open;
    panel.querySelector("button").textContent = words.close;
    main.append(panel);
    panel.focus();
    try {
      if (!await fillPanel(opener)) location.href = opener;
    } catch {
      location.href = opener;
    }
  });

  // Keys: / or Ctrl+K searches, j and k go down and up the rows, x ticks one, Enter opens (the row's link has the focus), Esc leaves.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    const find = document.getElementById("find");
    if (event.key === "Escape" && panel) { closePanel(); return; }
    if (event.key === "Escape" && document.activeElement) { document.activeElement.blur(); return; }
    if (find && ((event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey))) {
      event.preventDefault();
      find.focus();
      find.select();
      return;
    }
    if (event.key === "x" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || (event.key !== "j" && event.key !== "k")) return;
    const rows = [...document.querySelectorAll("table.rows tbody tr")].map((row) => row.querySelector("a[href]:not([href^='tel:'])")).filter(Boolean);
    if (!rows.length) return;
    const row = document.activeElement?.closest("tr");
    const at = row ? rows.findIndex((link) => row.contains(link)) : -1;
    const next = rows[event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0)];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  });

  // A button copies the text of the element that it names. Where the clipboard can't be used (plain http), the text is selected.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = words.copied;
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = words.copyByHand;
    }
  });

  for (const box of document.querySelectorAll("[data-picks]")) {
    box.addEventListener("change", () => { document.querySelector(`input[value=${box.dataset.picks}]`).checked = true; });
  }

  followDraft();

  if (document.body.matches(".app") && parts().length && "EventSource" in window) {
    const state = document.querySelector("[data-live-state]");
    const say = (text) => { state.hidden = false; state.textContent = text; };
    const source = new EventSource(`/updates?seen=${words.seen}`); // it begins with what has changed since
    const catchUp = () => { if (!document.hidden && missed) refresh(here()); };
    source.addEventListener("open", () => say(words.liveOn));
    source.addEventListener("error", () => say(words.liveOff));
    source.addEventListener("changed", () => { missed = true; catchUp(); });
    document.addEventListener("visibilitychange", catchUp);
    addEventListener("pagehide", () => source.close());
    setInterval(() => { if (!document.hidden) refresh(here()); }, 60000); // relative times
  }
})();

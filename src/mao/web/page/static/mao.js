// What pages do by themselves: show times in the viewer's zone, follow what changes, send what is asked to the API.
// A page works for reading without it.
(() => {
  "use strict";

  // -- times

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone, hourCycle: "h23",
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  function local(moment) {
    const found = Object.fromEntries(parts.formatToParts(moment).map((part) => [part.type, part.value]));
    return `${found.year}-${found.month}-${found.day} ${found.hour}:${found.minute}:${found.second}`;
  }

  function ago(moment) {
    const past = Math.round((Date.now() - moment) / 1000);
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      const number = Math.floor(Math.abs(past) / length);
      if (number) return past > 0 ? `${number} ${unit} ago` : `in ${number} ${unit}`;
    }
    return past >= 0 ? `${past} s ago` : `in ${-past} s`;
  }

  function showTimes(root = document) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      const text = time.classList.contains("age") ? ago(moment) : time.dataset.zone ? time.textContent : local(moment);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // -- what changes

  const LEAST = 700; // milliseconds between two renewals: a node may start hundreds of runs in a minute
  let source = null, renewal = null, renewed = 0, retry = null;
  const main = () => document.getElementById("main");
  const told = (words) => {
    const status = document.getElementById("live");
    if (status.textContent !== words) status.textContent = words;
  };

  function concerns(kind, data) {
    return (main().dataset.live || "").split(" ").some((word) => {
      const [wanted, which] = word.split(/:(.*)/);
      if (wanted !== kind) return false;
      if (!which) return true;
      const named = [data.id, data.name, data.tool, data.dataset, data.key, data.schedule, (data.key || "").split("/").pop()];
      return named.some((name) => name && String(name).toLowerCase() === which.toLowerCase());
    });
  }

  function renew() {
    if (renewal) return;
    renewal = setTimeout(async () => {
      renewal = null;
      renewed = Date.now();
      await window.htmx.ajax("GET", location.pathname + location.search, {
        target: "#main", select: "#main", swap: "outerMorph", source: "#main",
      }).catch(() => {});
    }, Math.max(50, renewed + LEAST - Date.now()));
  }

  function listen() {
    clearTimeout(retry);
    if (source || document.hidden || !(main().dataset.live || "").trim()) return;
    source = new EventSource("/api/v1/events");
    source.addEventListener("hello", (event) => {
      told("live");
      // What the page shows is older, also if it could not be had when it was asked for last.
      if (event.lastEventId !== main().dataset.position) renew();
    });
    for (const kind of ["run", "schedule", "slot", "installation", "clone", "alarm", "tool", "dataset", "node", "approval"]) {
      source.addEventListener(kind, (event) => {
        const data = JSON.parse(event.data);
        document.dispatchEvent(new CustomEvent("mao:changed", { detail: { kind, data } }));
        if (concerns(kind, data)) renew();
      });
    }
    source.onerror = () => {
      told("no connection, trying again");
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        retry = setTimeout(listen, 2000);
      }
    };
  }

  // A browser keeps few connections to one server: pages that nobody looks at give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else {
      listen();
    }
  });

  // -- what is sent

  const keys = new WeakMap(); // what is sent twice, as nobody knows whether it arrived, is done once

  function newKey() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // A field called `dataset` would stand before the form's own.
  const dataOf = (form) => Object.getOwnPropertyDescriptor(HTMLElement.prototype, "dataset").get.call(form);

  function valueOf(field) {
    if (field.type === "checkbox") return field.dataset.as === "text" ? String(field.checked) : field.checked;
    return field.dataset.as === "number" && field.value !== "" ? Number(field.value) : field.value;
  }

  // `name` is a key of the body, `data-key` one of the object that is there; what is left empty is not sent.
  function bodyOf(form) {
    const body = {};
    for (const field of form.elements) {
      if (!field.name || field.disabled || (field.type === "radio" && !field.checked)) continue;
      const value = valueOf(field);
      if (value === "" && field.dataset.empty === undefined) continue;
      if (field.dataset.key === undefined) body[field.name] = value;
      else (body[field.name] ||= Object.create(null))[field.dataset.key] = value;
    }
    return body;
  }

  function showProblem(form, problem) {
    const output = form.querySelector("output");
    const list = document.createElement("ul");
    for (const error of problem.errors || []) {
      const item = document.createElement("li");
      const place = error.line ? `line ${error.line}${error.column ? `, column ${error.column}` : ""}: ` : "";
      const meant = error.suggestion ? ` (did you mean '${error.suggestion}'?)` : "";
      item.textContent = `${place}${error.message || JSON.stringify(error)}${meant}`;
      if (error.text) {
        const line = document.createElement("pre");
        line.textContent = error.text;
        item.append(line);
      }
      list.append(item);
    }
    const many = list.childElementCount > 0; // then the detail says no more than they do
    output.replaceChildren(many ? `${problem.title}:` : problem.detail || "That did not work.", ...(many ? [list] : []));
    output.className = "problem";
  }

  async function send(form) {
    const [method, path] = dataOf(form).send.split(" ");
    if (dataOf(form).ask && !window.confirm(dataOf(form).ask)) return;
    if (!keys.has(form)) keys.set(form, newKey());
    const button = form.querySelector("button:not([type=button])");
    const output = form.querySelector("output");
    const body = method === "DELETE" ? undefined : JSON.stringify(bodyOf(form));
    button.disabled = true;
    output.replaceChildren();
    try {
      const answer = await fetch(path, {
        method, body,
        headers: {
          "Content-Type": "application/json", "Idempotency-Key": keys.get(form), Accept: "application/json",
          ...(form.dataset.match ? { "If-Match": form.dataset.match } : {}),
        },
      });
      const text = await answer.text();
      const value = text ? JSON.parse(text) : {};
      keys.delete(form);
      if (!answer.ok) return showProblem(form, value);
      if (dataOf(form).then) location.assign(dataOf(form).then.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(value[name])));
      else {
        output.textContent = dataOf(form).done || "";
        renew();
      }
    } catch {
      showProblem(form, { detail: "The node did not answer. It may be starting anew; what you wrote is still here: send it again, it is done once." });
    } finally {
      button.disabled = false;
    }
  }

  document.addEventListener("submit", (event) => {
    if (!dataOf(event.target).send) return;
    event.preventDefault();
    send(event.target);
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.previousElementSibling.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  });

  // -- what is searched for, as one types: the address is that of what is found

  let typed = null;
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-filter]");
    if (!form) return;
    clearTimeout(typed);
    typed = setTimeout(() => {
      const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value)).toString();
      history.replaceState(null, "", location.pathname + (asked ? `?${asked}` : ""));
      renew();
    }, 200);
  });

  // -- the beginning

  document.getElementById("zone").textContent = zone;
  showTimes();
  setInterval(showTimes, 20000);
  document.addEventListener("htmx:after:swap", () => showTimes());
  listen();
  window.mao = { showTimes, local, renew };
})();

// Follows what a run or an installer prints: part for part, so that it stays quick however long it gets.
(() => {
  "use strict";

  const MOST_PARTS = 12; // in the page at the same time
  const [MOST_BYTES, MOST_LINES] = [65_536, 500]; // of a part
  const FAR = 400_000; // bytes behind the end from which following goes on at the end
  const FAST = 8; // lines at once that are not read out
  const NEAR = 300; // pixels from the edge at which more is loaded
  const number = (element, name) => Number(element.dataset[name]);

  class Output {
    constructor(section) {
      this.section = section;
      this.log = section.querySelector(".printed");
      this.pause = section.querySelector(".pause");
      this.told = section.querySelector(".told");
      this.sought = section.querySelector(".sought");
      this.none = section.querySelector(".none");
      this.find = section.querySelector("input[name=find]").value;
      this.search = null;
      this.size = number(this.last, "size");
      this.over = this.last.dataset.over === "true";
      this.failures = 0;
      this.work = Promise.resolve();
      // "follows": new output is shown; "scrolled": not while the reader is above; "paused": not until it is asked for.
      this.mode = !location.search.match(/[?&](from|before|at|find)=/) ? "follows" : "paused";
      for (const step of section.querySelectorAll(".step")) step.hidden = true;
      this.pause.addEventListener("click", () => this.set(this.mode === "follows" ? "paused" : "follows"));
      this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
      this.log.addEventListener("keydown", (event) => this.key(event));
      section.querySelector(".beginning").addEventListener("click", (event) => this.go(event, { from: 0 }, "paused"));
      section.querySelector(".end").addEventListener("click", (event) => this.go(event, null, "follows"));
      section.querySelector("form").addEventListener("submit", (event) => this.seek(event));
      const mark = this.find && this.log.querySelector("mark");
      if (mark) this.show(mark);
      else if (this.mode === "follows") this.toEnd();
      this.say();
      this.poll();
    }

    get first() { return this.log.firstElementChild; }
    get last() { return this.log.lastElementChild; }
    get behind() { return this.size - number(this.last, "to"); }
    get isDone() { return this.over && this.behind <= 0; }

    // -- parts

    async fetch(place) {
      const asked = new URLSearchParams(place);
      if (this.find) {
        if (!place) asked.set("before", Number.MAX_SAFE_INTEGER); // the end, not where it is found first
        asked.set("find", this.find);
      }
      const answer = await fetch(`${this.section.dataset.parts}?${asked}`);
      if (!answer.ok) throw Object.assign(new Error(), { status: answer.status });
      const part = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".part");
      if (!part) throw new Error();
      if (part.dataset.key !== this.last.dataset.key || number(part, "size") < number(this.last, "to")) this.renewed = true;
      this.size = number(part, "size");
      this.over = part.dataset.over === "true";
      return document.importNode(part, true);
    }

    // One thing after the other: what is appended begins where the part before it ends.
    queue(act) {
      this.work = this.work.then(act).then(() => {
        this.failures = 0;
        this.refused = false;
      }, (error) => {
        this.failures += 1;
        this.refused = error.status >= 400 && error.status < 500 && error.status !== 429;
      }).then(() => this.say());
      return this.work;
    }

    async replace(place) {
      this.log.replaceChildren(await this.fetch(place));
      this.renewed = false;
    }

    async append() {
      const part = await this.fetch({ from: number(this.last, "next") });
      if (this.renewed) return this.replace();
      if (number(part, "to") === number(this.last, "to")) { // nothing new, but perhaps that this is all
        this.last.dataset.next = part.dataset.next;
        this.last.dataset.over = part.dataset.over;
        return;
      }
      const from = number(part, "from");
      if (from < number(this.last, "to")) { // a line that was not over comes again
        for (const line of [...this.last.children]) if (number(line, "at") >= from) line.remove();
      }
      if (!this.last.childElementCount && this.log.childElementCount > 1) this.last.remove();
      const quiet = part.childElementCount > FAST ? "off" : "polite";
      if (this.log.getAttribute("aria-live") !== quiet) this.log.setAttribute("aria-live", quiet);
      this.last.dataset.to = this.last.dataset.next = Math.min(number(this.last, "to"), from);
      this.join(part);
      while (this.log.childElementCount > MOST_PARTS) {
        const height = this.log.scrollHeight;
        this.first.remove();
        this.log.scrollTop -= height - this.log.scrollHeight;
      }
    }

    // What comes line for line is one part: parts are counted.
    join(part) {
      const last = this.last;
      const fits = number(part, "to") - number(last, "from") <= MOST_BYTES;
      if (!fits || last.childElementCount + part.childElementCount > MOST_LINES) return this.log.append(part);
      last.append(...part.children);
      for (const name of ["to", "next", "size", "over"]) last.dataset[name] = part.dataset[name];
    }

    async prepend() {
      if (!number(this.first, "from")) return;
      const part = await this.fetch({ before: number(this.first, "from") });
      if (number(part, "to") !== number(this.first, "from")) return;
      const height = this.log.scrollHeight, top = this.log.scrollTop;
      this.log.prepend(part);
      this.log.scrollTop = top + this.log.scrollHeight - height;
      while (this.log.childElementCount > MOST_PARTS) this.last.remove();
    }

    // -- following

    poll() {
      clearTimeout(this.timer);
      if (!this.section.isConnected) return;
      const pause = this.failures ? Math.min(1000 * 2 ** this.failures, 10_000) : 1000;
      this.timer = setTimeout(async () => {
        if (!document.hidden) await this.queue(() => this.look());
        if (!this.isDone && !this.refused) this.poll();
      }, pause);
    }

    async look() {
      if (this.mode === "follows") return this.catchUp();
      await this.fetch({ from: this.size }); // only how much there is
      if (this.renewed) await this.replace();
    }

    async catchUp() {
      for (let to = -1; to !== number(this.last, "to");) {
        to = number(this.last, "to");
        if (this.behind > FAR) await this.replace();
        else await this.append();
        if (this.mode === "follows") this.toEnd();
        if (this.mode !== "follows" || this.behind <= 0) return;
      }
    }

    set(mode) {
      this.mode = mode;
      if (mode === "follows") {
        this.queue(() => this.catchUp());
        this.poll();
      }
      this.say();
    }

    toEnd() {
      this.log.scrollTop = this.log.scrollHeight;
      this.was = this.log.scrollTop;
    }

    scrolled() {
      const { scrollTop, scrollHeight, clientHeight } = this.log;
      const below = scrollHeight - clientHeight - scrollTop;
      if (this.mode === "follows" && scrollTop < this.was - 2 && below > 4) this.set("scrolled");
      this.was = scrollTop;
      if (this.loading) return;
      const more = scrollTop < NEAR ? () => this.prepend() : below < NEAR && this.behind > 0 && this.mode !== "follows" ? () => this.append() : null;
      if (more && (scrollTop >= NEAR || number(this.first, "from"))) {
        this.loading = true;
        this.queue(more).then(() => { this.loading = false; });
      } else if (this.mode === "scrolled" && below < 4 && this.behind <= 0) {
        this.set("follows");
      }
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Home") this.go(event, { from: 0 }, "paused");
      else if (event.key === "End") this.go(event, null, "follows");
    }

    go(event, place, mode) {
      event.preventDefault();
      this.queue(async () => {
        this.mode = mode;
        if (place ? number(this.first, "from") : this.behind > 0) await this.replace(place);
        this.was = 0;
        if (place) this.log.scrollTop = 0;
        else this.toEnd();
      });
      this.poll();
    }

    say() {
      const follows = this.mode === "follows";
      const words = this.refused ? "The output is not to be had any more; load the page again."
        : this.failures ? "no connection, trying again"
        : this.isDone ? "" : follows ? "follows" : this.behind > 0 ? `${bytes(this.behind)} more below` : "paused";
      if (this.told.textContent !== words) this.told.textContent = words;
      this.pause.hidden = this.over && (follows || this.behind <= 0);
      this.pause.textContent = follows ? "Pause" : "Resume";
      this.pause.setAttribute("aria-pressed", String(!follows));
      this.section.querySelector(".bytes").textContent = bytes(this.size);
      this.none.hidden = this.size > 0;
      if (this.over) this.none.textContent = this.none.dataset.over;
      this.log.hidden = !this.size;
    }

    // -- search

    visible() {
      const top = this.log.getBoundingClientRect().top;
      const line = [...this.log.querySelectorAll(".line")].find((each) => each.getBoundingClientRect().bottom > top);
      return line ? number(line, "at") : 0;
    }

    async seek(event) {
      event.preventDefault();
      const text = event.target.elements.find.value;
      if (!text) {
        this.find = "";
        this.sought.textContent = "";
        for (const mark of this.log.querySelectorAll("mark")) mark.replaceWith(...mark.childNodes);
        return;
      }
      const start = text === this.find && this.next !== undefined ? this.next : this.visible();
      const mine = this.search = {};
      this.find = text;
      try {
        const found = await this.lookFor(text, start, mine);
        if (this.search !== mine) return;
        if (!found) {
          this.next = undefined;
          this.sought.textContent = "not found";
          return;
        }
        this.next = found.scanned_to;
        await this.queue(async () => {
          this.mode = "paused";
          await this.replace({ at: found.offset });
          const mark = this.log.querySelector(`mark[data-at="${found.offset}"]`);
          this.show(mark || [...this.log.querySelectorAll(".line")].findLast((line) => number(line, "at") <= found.offset));
        });
        this.sought.textContent = `found at byte ${found.offset.toLocaleString("en")}${found.anew ? ", from the beginning again" : ""}`;
        this.poll();
      } catch {
        this.sought.textContent = "The search did not work; try again.";
      }
    }

    async lookFor(text, start, mine) {
      let at = start, anew = false;
      while (this.search === mine) {
        const answer = await fetch(`${this.section.dataset.log}/search?text=${encodeURIComponent(text)}&from=${at}`);
        if (!answer.ok) throw new Error();
        const found = await answer.json();
        if (found.offset !== null) return { ...found, anew };
        at = found.scanned_to;
        if (anew && at >= start) return null;
        if (at >= found.size) {
          if (anew || !start) return null;
          [at, anew] = [0, true];
        }
        this.sought.textContent = `searching, at ${bytes(at)} of ${bytes(found.size)}`;
      }
      return null;
    }

    show(element) {
      for (const other of this.log.querySelectorAll(".here")) other.classList.remove("here");
      if (!element) return;
      element.classList.add("here");
      // Only the output moves, not the page.
      const place = element.getBoundingClientRect(), frame = this.log.getBoundingClientRect();
      this.log.scrollTop += place.top - frame.top - this.log.clientHeight / 3;
      this.was = this.log.scrollTop;
    }
  }

  function bytes(count) {
    if (count < 1000) return `${count} bytes`;
    const power = Math.min(Math.floor(Math.log10(count) / 3), 3);
    return `${(count / 1000 ** power).toFixed(1)} ${["", "kB", "MB", "GB"][power]}`;
  }

  const known = new WeakSet();
  function begin() {
    for (const section of document.querySelectorAll("section.output")) {
      if (known.has(section)) continue;
      known.add(section);
      new Output(section);
    }
  }

  begin();
  document.addEventListener("htmx:after:swap", begin);
})();

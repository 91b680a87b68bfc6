// Charts of the tables that stand beside them: a table is what can be read without them.
(() => {
  "use strict";
  const HEIGHT = 220;
  const drawn = new WeakMap();
  const colours = ["--accent", "--late", "--good", "--bad", "--quiet", "--text"];
  const numberOf = (cell) => (cell && cell.dataset.v !== undefined ? Number(cell.dataset.v) : null);
  const bytes = (value) => {
    for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (Math.abs(value) >= size) return `${+(value / size).toFixed(1)} ${unit}`;
    return String(value);
  };

  function draw(figure) {
    const table = document.getElementById(figure.dataset.chart);
    const place = figure.querySelector(".plot");
    if (!table || !place || !window.uPlot) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const width = Math.floor(place.clientWidth);
    const key = [width, colour("--text"), table.textContent].join("|");
    const before = drawn.get(place);
    if (before && before.key === key && place.contains(before.plot.root)) return;
    if (before) before.plot.destroy();
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const series = heads.map((head, column) => ({ head, column })).filter(({ head }) => head.dataset.y !== undefined);
    const x = heads.find((head) => head.dataset.x !== undefined);
    const data = [rows.map((row) => numberOf(row.cells[x.cellIndex])), ...series.map(({ column }) => rows.map((row) => numberOf(row.cells[column])))];
    const bars = table.dataset.bars !== undefined;
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const byDay = x.dataset.x === "day", timed = byDay || x.dataset.x === "time";
    const written = (at) => (byDay ? new Date(at * 1000).toISOString().slice(0, 10) : window.mao.local(new Date(at * 1000)));
    const over = timed ? { ...axis, space: 90, values: (_, at, __, ___, step) => at.map((one) => (step < 86400 ? written(one).slice(5, 16) : written(one).slice(0, 10))) } : axis;
    const scales = [...new Set(series.map(({ head }) => head.dataset.y || "y"))];
    const plot = new window.uPlot({
      width, height: HEIGHT,
      // Bars say how much by their length, so that they begin at nothing.
      scales: { x: { time: timed }, ...(bars ? { y: { range: (_, __, most) => [0, Math.max(1, most) * 1.05] } } : {}) },
      tzDate: (at) => (byDay ? window.uPlot.tzDate(new Date(at * 1000), "Etc/UTC") : new Date(at * 1000)),
      series: [{ label: x.textContent, value: (_, at) => (at === null ? "" : timed ? written(at) : String(at)) }, ...series.map(({ head }, at) => ({
        label: head.textContent, scale: head.dataset.y || "y", stroke: colour(colours[at % colours.length]), width: 1.5,
        fill: bars ? colour(colours[at]) : undefined, paths: bars ? window.uPlot.paths.bars({ size: [0.7, 24] }) : undefined,
        points: { show: rows.length < 40 && !bars },
        value: (_, value) => (value === null ? "" : head.dataset.y === "bytes" ? bytes(value) : String(value)),
      }))],
      axes: [over, ...scales.map((scale, at) => ({
        ...axis, scale, side: at ? 1 : 3, size: 62, grid: at ? { show: false } : axis.grid,
        values: scale === "bytes" ? (_, values) => values.map(bytes) : undefined,
      }))],
    }, data, place);
    drawn.set(place, { plot, key });
  }

  const all = () => document.querySelectorAll("figure[data-chart]").forEach(draw);
  let waiting = null;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(all, 100); });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  document.addEventListener("htmx:after:swap", all);
  all();
})();

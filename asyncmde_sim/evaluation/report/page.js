"use strict";
/* Draws the report's charts from DATA, and again whenever a chip or a choice changes. */

const COLOURS = ["#111827", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7c3aed", "#b91c1c", "#64748b"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "star", "cross", "x", "pentagon", "hexagram"];
const GLYPHS = ["●", "■", "◆", "▲", "▼", "★", "✚", "✖", "⬟", "✡"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const STROKES = ["──", "╌╌", "┈┈", "─·─", "━ ━", "━·━"];
const INK = "#1c2430", SOFT = "#5b6675", LINE = "#dfe4ea";
const NO_DEVICE = "no device";
const ROWS_AXIS = { autorange: "reversed", title: { text: "" }, dtick: 1, automargin: true };
const ROWS_MARGIN = { l: 12, r: 12, t: 8, b: 40 };

const hidden = {};
const choices = { age: "content_age_s", score: "streaming_delta1" };

const at = (list, index) => list[index % list.length];
const colour = (cell) => at(COLOURS, DATA.values.depth.indexOf(cell.depth));
const deviceIndex = (cell) => Math.max(0, DATA.values.device.indexOf(cell.device));
const symbol = (cell) => at(SYMBOLS, deviceIndex(cell));
const dash = (cell) => at(DASHES, Math.max(0, DATA.values.refresh.indexOf(cell.refresh)));
const shown = (cell) => Object.keys(hidden).every((facet) => !hidden[facet].has(cell[facet]));
const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));
const rate = (r) => `${r[0].toFixed(2)} (${r[1].toFixed(2)} to ${r[2].toFixed(2)}), ${r[3]} episodes`;
const reach = (rows, key) => ({
  type: "data",
  symmetric: false,
  array: rows.map((r) => r[key][2] - r[key][0]),
  arrayminus: rows.map((r) => r[key][0] - r[key][1]),
  thickness: 1.2,
  width: 3,
});

/* What tells lines of one panel apart: the facets that the axes and panels do not show. */
function groups(rows, facets) {
  const found = new Map();
  for (const row of rows) {
    const key = facets.map((facet) => DATA.cells[row.cell][facet]).join("\u0000");
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(row);
  }
  return [...found.values()];
}

function layout(x, y, more) {
  const axis = { gridcolor: LINE, linecolor: LINE, zerolinecolor: LINE, tickfont: { size: 12 } };
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: INK },
    margin: { l: 48, r: 12, t: 8, b: 40 },
    paper_bgcolor: "#fff",
    plot_bgcolor: "#fff",
    hovermode: "closest",
    hoverlabel: { bgcolor: "#fff", bordercolor: LINE, font: { color: INK }, align: "left" },
    dragmode: false,
    showlegend: false,
    ...more,
    xaxis: { ...axis, title: { text: x, standoff: 6 }, ...(more || {}).xaxis },
    yaxis: { ...axis, title: { text: y, standoff: 6 }, ...(more || {}).yaxis },
  };
}

/* One panel for each environment that is shown; ``rowHeight`` in pixels is for charts with a line for each row. */
function byEnvironment(id, rows, make, rowHeight) {
  const host = document.getElementById(id);
  if (!host) return;
  for (const environment of DATA.values.environment) {
    let panel = [...host.children].find((child) => child.dataset.environment === environment);
    if (!panel) {
      panel = document.createElement("div");
      panel.className = "panel";
      panel.dataset.environment = environment;
      panel.innerHTML = `<h3></h3><div class="plot"></div>`;
      panel.firstChild.textContent = environment;
      host.append(panel);
    }
    const own = rows.filter((r) => DATA.cells[r.cell].environment === environment && shown(DATA.cells[r.cell]));
    panel.hidden = !own.length;
    if (!own.length) continue;
    if (rowHeight) panel.lastChild.style.height = `${70 + rowHeight * own.length}px`;
    draw(panel.lastChild, ...make(own));
  }
}

/* Charts are drawn when the page can be read, one at a time, those in view first, so that it answers meanwhile. */
const waiting = new Map();
let drawing = false;

function draw(div, traces, plan) {
  waiting.set(div, [traces, plan]);
  if (drawing) return;
  drawing = true;
  document.documentElement.dataset.charts = "drawing";
  requestAnimationFrame(() => setTimeout(drawNext));
}

async function drawNext() {
  if (!window.Plotly) {
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }
  const inView = (div) => div.getBoundingClientRect().top < innerHeight && div.getBoundingClientRect().bottom > 0;
  const divs = [...waiting.keys()];
  const div = divs.find(inView) || divs[0];
  const [traces, plan] = waiting.get(div);
  waiting.delete(div);
  await Plotly.react(div, traces, plan, { displayModeBar: false, responsive: true });
  const drawn = div.querySelector(".main-svg");
  if (drawn.clientWidth !== div.clientWidth || drawn.clientHeight !== div.clientHeight) await Plotly.Plots.resize(div);
  if (waiting.size) {
    setTimeout(drawNext);
    return;
  }
  drawing = false;
  document.documentElement.dataset.charts = "drawn";
}

function successByDevice(rows) {
  const order = DATA.values.device.filter((d) => rows.some((r) => DATA.cells[r.cell].device === d));
  const traces = [];
  const on = rows.filter((r) => DATA.cells[r.cell].device !== NO_DEVICE);
  const off = rows.filter((r) => DATA.cells[r.cell].device === NO_DEVICE);
  const devices = order.filter((d) => d !== NO_DEVICE);
  const lines = groups(on, ["depth", "refresh", "agent"]);
  lines.forEach((line, index) => {
    const cell = DATA.cells[line[0].cell];
    const shift = lines.length > 1 ? (index / (lines.length - 1) - 0.5) * 0.4 : 0;
    traces.push({
      x: line.map((r) => devices.indexOf(DATA.cells[r.cell].device) + shift),
      y: line.map((r) => r.success[0]),
      error_y: { ...reach(line, "success"), color: colour(cell) },
      mode: "lines+markers",
      line: { color: colour(cell), width: 1.5, dash: dash(cell) },
      marker: { color: colour(cell), size: 8, symbol: line.map((r) => symbol(DATA.cells[r.cell])) },
      text: line.map((r) => `<b>${DATA.cells[r.cell].name}</b><br>success ${rate(r.success)}`),
      hovertemplate: "%{text}<extra></extra>",
    });
  });
  const ends = [-0.5, Math.max(devices.length, 1) - 0.5];
  for (const row of off) {
    const cell = DATA.cells[row.cell];
    const steps = [...Array(9).keys()].map((i) => ends[0] + ((ends[1] - ends[0]) * i) / 8);
    traces.push({
      x: steps,
      y: steps.map(() => row.success[0]),
      mode: "lines",
      line: { color: colour(cell), width: 1.5, dash: "dot" },
      text: steps.map(() => `<b>${cell.name}</b><br>success ${rate(row.success)}`),
      hovertemplate: "%{text}<extra></extra>",
    });
  }
  const xaxis = { tickvals: devices.map((_, i) => i), ticktext: devices, range: ends, title: { text: "" }, showgrid: false, zeroline: false };
  return [traces, layout("", "success", { xaxis, yaxis: { range: [-0.04, 1.04] } })];
}

const AGE_TITLES = { content_age_s: "content age, ms", refresh_age_s: "lag since the refresh, ms", depth_age_s: "depth age, ms" };
const SCORE_TITLES = {
  streaming_delta1: "δ1, against the depth now",
  delta1: "δ1, against its own frame",
  streaming_abs_rel: "AbsRel, against the depth now",
  abs_rel: "AbsRel, against its own frame",
};

function accuracyByAge(rows) {
  const traces = [];
  for (const row of rows) {
    const line = row.ages[choices.age];
    if (!line) continue;
    const cell = DATA.cells[row.cell], means = line[choices.score], halves = line[`${choices.score}_half`];
    traces.push({
      x: line.age.map((s) => 1000 * s),
      y: means,
      error_y: { type: "data", array: halves, color: colour(cell), thickness: 1, width: 0 },
      mode: "lines+markers",
      line: { color: colour(cell), width: 1.5, dash: dash(cell) },
      marker: { color: colour(cell), size: 6, symbol: symbol(cell) },
      text: means.map(
        (m, i) => `<b>${cell.name}</b><br>${(1000 * line.age[i]).toFixed(0)} ms: ${m.toFixed(3)} ± ${halves[i].toFixed(3)}` +
          `<br>${line.steps[i]} steps of ${line.episodes[i]} episodes`
      ),
      hovertemplate: "%{text}<extra></extra>",
    });
  }
  return [traces, layout(AGE_TITLES[choices.age], SCORE_TITLES[choices.score], { xaxis: { rangemode: "tozero" } })];
}

function errorChart(rows) {
  const seen = rows.filter((r) => r.abs_rel !== null && r.streaming_abs_rel !== null);
  const most = Math.max(0.01, ...seen.map((r) => Math.max(r.abs_rel, r.streaming_abs_rel))) * 1.08;
  const traces = [{
    x: [0, most], y: [0, most], mode: "lines", line: { color: LINE, width: 1.5 }, hoverinfo: "skip",
  }];
  for (const own of groups(seen, ["depth", "device"])) {
    const cell = DATA.cells[own[0].cell];
    traces.push({
      x: own.map((r) => r.abs_rel),
      y: own.map((r) => r.streaming_abs_rel),
      mode: "markers",
      cliponaxis: false,
      marker: { color: colour(cell), symbol: symbol(cell), size: 10, line: { color: "#fff", width: 1 } },
      text: own.map(
        (r) => `<b>${DATA.cells[r.cell].name}</b><br>AbsRel ${number(r.abs_rel, 3)}, streaming ${number(r.streaming_abs_rel, 3)}` +
          `<br>success ${rate(r.success)}`
      ),
      hovertemplate: "%{text}<extra></extra>",
    });
  }
  const axis = { range: [0, most] };
  return [traces, layout("AbsRel of its own frame (the model's error)", "AbsRel of the depth now", { xaxis: axis, yaxis: axis })];
}

function workChart(x, title) {
  return (rows) => {
    const seen = rows.filter((r) => r[x] !== null);
    const traces = groups(seen, ["depth", "device"]).map((own) => {
      const cell = DATA.cells[own[0].cell];
      return {
        x: own.map((r) => r[x]),
        y: own.map((r) => r.success[0]),
        error_y: { ...reach(own, "success"), color: colour(cell) },
        mode: "markers",
      cliponaxis: false,
        marker: { color: colour(cell), symbol: symbol(cell), size: 10, line: { color: "#fff", width: 1 } },
        text: own.map((r) => `<b>${DATA.cells[r.cell].name}</b><br>${number(r[x], 1)} ${title}<br>success ${rate(r.success)}`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    return [traces, layout(title, "success", { xaxis: { rangemode: "tozero" }, yaxis: { range: [-0.04, 1.04] } })];
  };
}

function lossChart(rows) {
  const names = rows.map((r) => DATA.cells[r.cell].short);
  const traces = DATA.parts.map(([key, title, fill]) => ({
    type: "bar",
    orientation: "h",
    x: rows.map((r) => r[key][0]),
    y: names,
    error_x: { ...reach(rows, key), color: SOFT },
    marker: { color: fill },
    text: rows.map(
      (r) => `<b>${DATA.cells[r.cell].name}</b><br>${title}: ${r[key].slice(0, 3).map((v) => v.toFixed(2)).join(", ")}` +
        `<br>lost in all: ${r.lost.slice(0, 3).map((v) => v.toFixed(2)).join(", ")}`
    ),
    textposition: "none",
    hovertemplate: "%{text}<extra></extra>",
  }));
  return [traces, layout("success lost", "", { yaxis: ROWS_AXIS, margin: ROWS_MARGIN, bargap: 0.3 })];
}

function speedChart(rows) {
  const most = Math.max(...rows.map((r) => r.speed[2]), 0.1);
  const traces = groups(rows, ["depth"]).map((own) => {
    const cell = DATA.cells[own[0].cell];
    return {
      x: own.map((r) => r.speed[0]),
      y: own.map((r) => DATA.cells[r.cell].short),
      error_x: { ...reach(own, "speed"), color: colour(cell) },
      mode: "markers",
      cliponaxis: false,
      marker: { color: colour(cell), size: 10, symbol: own.map((r) => symbol(DATA.cells[r.cell])) },
      text: own.map((r) => `<b>${DATA.cells[r.cell].name}</b><br>${r.text}`),
      hovertemplate: "%{text}<extra></extra>",
    };
  });
  return [traces, layout("highest safe top speed, m/s", "", { yaxis: ROWS_AXIS, xaxis: { range: [-0.06 * most, 1.06 * most] }, margin: ROWS_MARGIN })];
}

function sceneChart(div, scene) {
  const line = (y, name, axis, fill, dash) => ({
    x: scene.time_s, y: scene[y], name, yaxis: axis, mode: "lines", line: { color: fill, width: 1.5, dash }, connectgaps: false,
    hovertemplate: `${name} %{y:.3~g}<extra></extra>`,
  });
  const traces = [
    line("clearance_m", "clearance, m", "y", "#111827"),
    line("depth_age_ms", "depth age, ms", "y2", "#d55e00"),
    line("content_age_ms", "content age, ms", "y2", "#0072b2"),
    line("refresh_age_ms", "lag, ms", "y2", "#0072b2", "dot"),
    line("abs_rel", "AbsRel, model", "y3", "#009e73", "dot"),
    line("streaming_abs_rel", "AbsRel, streaming", "y3", "#009e73"),
  ];
  const axis = (low, high) => ({ domain: [low, high], gridcolor: LINE, zerolinecolor: LINE, rangemode: "tozero", automargin: true, nticks: 4 });
  const plan = layout("simulated time, s", "", {
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    hovermode: "x unified",
    margin: { l: 40, r: 12, t: 60, b: 40 },
  });
  draw(div, traces, { ...plan, yaxis: axis(0.7, 1), yaxis2: axis(0.35, 0.65), yaxis3: axis(0, 0.3), xaxis: { ...plan.xaxis, anchor: "y3" } });
}

function drawAll() {
  byEnvironment("chart-device", DATA.rows, successByDevice);
  byEnvironment("chart-age", DATA.rows.filter((r) => r.ages), accuracyByAge);
  byEnvironment("chart-error", DATA.rows, errorChart);
  byEnvironment("chart-work", DATA.rows, workChart("slow_runs_per_s", "slow runs per simulated second"));
  byEnvironment("chart-power", DATA.rows.filter((r) => r.power_w !== null), workChart("power_w", "power of the device, W"));
  byEnvironment("chart-loss", DATA.losses, lossChart, 44);
  byEnvironment("chart-speed", DATA.speeds, speedChart, 24);
  for (const row of document.querySelectorAll("tr[data-cell]")) row.hidden = !shown(DATA.cells[row.dataset.cell]);
  for (const part of document.querySelectorAll("tbody")) part.hidden = !part.querySelector("tr[data-cell]:not([hidden])");
}

function chips() {
  const host = document.querySelector(".filters > div");
  for (const [facet, title] of DATA.facets) {
    const group = document.createElement("div");
    group.className = "facet";
    group.innerHTML = "<b></b>";
    group.firstChild.textContent = title;
    hidden[facet] = new Set();
    DATA.values[facet].forEach((value, index) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "chip";
      chip.setAttribute("aria-pressed", "true");
      if (facet === "depth") chip.innerHTML = `<i class="dot" style="background:${at(COLOURS, index)}"></i>`;
      if (facet === "device") chip.innerHTML = `<i>${at(GLYPHS, index)}</i>`;
      if (facet === "refresh") chip.innerHTML = `<i>${at(STROKES, index)}</i>`;
      chip.append(value);
      chip.addEventListener("click", () => {
        const off = hidden[facet].delete(value);
        if (!off) hidden[facet].add(value);
        chip.setAttribute("aria-pressed", String(off));
        drawAll();
      });
      group.append(chip);
    });
    host.append(group);
  }
  document.querySelector(".filters").hidden = !DATA.facets.length;
}

chips();
for (const select of document.querySelectorAll("select[data-choice]")) {
  select.value = choices[select.dataset.choice];
  select.addEventListener("change", () => {
    choices[select.dataset.choice] = select.value;
    drawAll();
  });
}
drawAll();
for (const scene of DATA.scenes) sceneChart(document.getElementById(scene.id), scene);

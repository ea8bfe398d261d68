// The board: filters, charts and a table of runs, from the data in the page. Every text is set as text.

const data = JSON.parse(document.getElementById("data").textContent);
const ROW = 36; // pixels of a row of the table, as in board.css
const SPARE = 12; // rows kept above and below those in view
const TALLEST = 640; // maximum height of the table in pixels, as in board.css
const HOUR = 3600000;
const MOVES = 40; // maximum moves of an alias to list
const collator = new Intl.Collator("en", { numeric: true });
const $ = (id) => document.getElementById(id);

const runs = data.runs.map((fields, index) => {
  const [run, started, seconds, outcome, model, version, digest, cached, champion, gates, commit, source,
    estimator, error, report, change, params, metrics] = fields;
  const name = model < 0 ? "" : data.models[model];
  const label = version ? `${name}:${version}` : name || "no model";
  const words = [label, outcome, gates, commit, source, estimator, digest, error, cached ? "cached" : "",
    champion ? "champion" : "", when(started), ...params.map((value, i) => value === null ? "" : `${data.params[i]}=${value}`)];
  return { index, run, started, seconds, outcome, model, version, digest, cached, champion, gates, commit, source,
    estimator, error, report, change, params, metrics, label, words: words.join(" ").toLowerCase() };
});

const state = { model: -1, metric: 0, param: -1, text: "", gates: "", key: "started", down: true, selected: null };
const champions = new Map(runs.filter((run) => run.champion).reverse().map((run) => [run.model, run]));
let shown = []; // the runs that pass the filters, sorted
let columns = [];

// ---- text

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function when(ms) {
  return ms === null ? "" : new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

// Like toLocaleString, which is too slow for the cells of thousands of runs.
function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",");
}

function figure(value) {
  if (typeof value !== "number") return value === null ? "" : String(value);
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(4);
  if (size > 0 && size < 0.00005) return value.toPrecision(2);
  const decimals = size < 10 ? 4 : Math.max(0, 4 - Math.floor(Math.log10(size)));
  return grouped(value.toFixed(decimals));
}

function signed(value) {
  return value === null ? "" : (value >= 0 ? "+" : "") + figure(value);
}

function duration(seconds) {
  if (seconds >= 5400) return `${(seconds / 3600).toFixed(1)} h`;
  return seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${seconds.toFixed(1)} s`;
}

function span(ms) {
  const hours = ms / HOUR;
  if (hours < 1) return `${Math.round(hours * 60)} min`;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} days`;
}

function counted(count, noun) {
  return `${grouped(String(count))} ${noun}${count === 1 ? "" : "s"}`;
}

function verdict(run) {
  return run.outcome === "failed" || run.outcome === "unreadable" ? run.outcome : run.gates;
}

// ---- filters

function inModel(run) {
  return state.model < 0 || run.model === state.model;
}

function passes(run) {
  return inModel(run) && (!state.gates || verdict(run) === state.gates)
    && state.text.split(/\s+/).every((word) => run.words.includes(word));
}

function valueOf(run, key) {
  if (key.startsWith("p")) return run.params[+key.slice(1)];
  if (key === "metric") return run.metrics[state.metric] ?? null;
  return { started: run.started, label: run.label, verdict: verdict(run), change: changeOf(run), took: run.seconds,
    commit: run.commit, source: run.source, estimator: run.estimator }[key];
}

// The chosen metric minus that of the champion of the same model.
function changeOf(run) {
  const champion = champions.get(run.model)?.metrics[state.metric] ?? null;
  const value = run.metrics[state.metric] ?? null;
  if (champion !== null && value !== null) return value - champion;
  return data.metrics[state.metric]?.headline ? run.change : null;
}

function sorted(list) {
  const keys = new Map(list.map((run) => [run, valueOf(run, state.key)]));
  const isMissing = (key) => key === null || key === "";
  return list.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    // Missing values are last in both orders.
    if (isMissing(x) || isMissing(y)) return isMissing(x) - isMissing(y) || a.index - b.index;
    const order = typeof x === "number" && typeof y === "number" ? x - y : collator.compare(String(x), String(y));
    return (state.down ? -order : order) || a.index - b.index;
  });
}

function varying(list) {
  return data.params.map((_, i) => i).filter((i) => new Set(list.map((run) => run.params[i])).size > 1);
}

function update() {
  shown = sorted(runs.filter(passes));
  const metric = data.metrics[state.metric];
  const params = varying(shown.length ? shown : runs.filter(inModel));
  columns = [
    { key: "label", title: "Version", text: (run) => run.label },
    { key: "started", title: "Started (UTC)", text: (run) => when(run.started) },
    { key: "metric", title: metric ? metric.title : "Metric", number: true, text: (run) => figure(valueOf(run, "metric")) },
    { key: "change", title: "Against champion", number: true, text: (run) => run.champion ? "champion" : signed(changeOf(run)) },
    { key: "verdict", title: "Gates", text: verdict },
    ...params.map((i) => ({ key: `p${i}`, title: data.params[i], number: shown.every((run) => typeof run.params[i] !== "string"), text: (run) => run.params[i] === null ? "" : String(run.params[i]) })),
    { key: "took", title: "Took", number: true, text: (run) => run.cached ? "cached" : duration(run.seconds) },
    { key: "commit", title: "Commit", text: (run) => run.commit },
    { key: "source", title: "Data", text: (run) => run.source },
    { key: "estimator", title: "Estimator", text: (run) => run.estimator },
  ].filter((column) => ["label", "started", "metric", state.key].includes(column.key) || shown.some((run) => column.text(run)));
  drawParams(params);
  drawCards();
  drawTable();
  drawCharts();
  drawChampions();
  $("count").textContent = `${counted(shown.length, "run")} of ${grouped(String(runs.length))}`;
}

// ---- cards

function best(list) {
  const lower = data.metrics[state.metric]?.lower;
  let top = null;
  for (const run of list) {
    const value = valueOf(run, "metric");
    if (value !== null && (top === null || (lower ? value < valueOf(top, "metric") : value > valueOf(top, "metric")))) top = run;
  }
  return top;
}

function card(value, text, run) {
  const item = make("li");
  item.append(make("strong", "", value), make("span", "soft", text));
  if (run) {
    const button = make("button", "plain", run.label);
    button.type = "button";
    button.addEventListener("click", () => select(run, true));
    item.append(button);
  }
  return item;
}

function drawCards() {
  const title = data.metrics[state.metric]?.word ?? "metric";
  const top = best(shown);
  const champion = shown.find((run) => run.champion && valueOf(run, "metric") !== null);
  const judged = shown.filter((run) => run.gates);
  const items = [card(grouped(String(shown.length)), shown.length === 1 ? "run" : "runs")];
  if (top) items.push(card(figure(valueOf(top, "metric")), `best ${title}`, top));
  if (champion) items.push(card(figure(valueOf(champion, "metric")), `champion's ${title}`, champion));
  if (judged.length) {
    const share = judged.filter((run) => run.gates === "passed").length / judged.length;
    items.push(card(`${Math.round(100 * share)}%`, "passed the gates"));
  }
  $("cards").replaceChildren(...items);
}

// ---- table: only the rows in view are in the page

const body = $("rows");
const box = $("table");
let drawn = new Map(); // the row of the table by its position

function drawTable() {
  const widths = columns.map((column) => {
    const longest = shown.reduce((most, run) => Math.max(most, column.text(run).length), column.title.length + 2);
    return Math.min(longest, 26) + 3;
  });
  const head = make("tr");
  const sizes = columns.map((column, at) => {
    const col = make("col");
    col.style.width = `${widths[at]}ch`;
    const cell = make("th", column.number ? "number" : "");
    cell.scope = "col";
    const on = state.key === column.key;
    cell.setAttribute("aria-sort", on ? (state.down ? "descending" : "ascending") : "none");
    const button = make("button", "sort", column.title);
    button.type = "button";
    button.dataset.key = column.key;
    button.append(make("span", "arrow", on ? (state.down ? "▼" : "▲") : ""));
    button.lastChild.setAttribute("aria-hidden", "true");
    button.addEventListener("click", () => sortBy(column));
    cell.append(button);
    head.append(cell);
    return col;
  });
  $("cols").replaceChildren(...sizes);
  $("head").replaceChildren(head);
  $("grid").style.width = `max(100%, ${widths.reduce((a, b) => a + b, 0)}ch)`;
  $("grid").setAttribute("aria-rowcount", String(shown.length + 1));
  $("none").hidden = shown.length > 0;
  drawn = new Map();
  body.replaceChildren();
  drawRows();
}

function sortBy(column) {
  const first = column.key === "metric" ? !data.metrics[state.metric]?.lower : column.key === "started";
  state.down = state.key === column.key ? !state.down : first;
  state.key = column.key;
  box.scrollTop = 0;
  update();
  document.querySelector(`[data-key="${column.key}"]`)?.focus();
}

function drawRows() {
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
  const last = Math.min(shown.length, Math.ceil((box.scrollTop + Math.max(box.clientHeight, TALLEST)) / ROW) + SPARE);
  // Rows near the focused one stay; otherwise the keyboard would leave the table.
  const focus = [...drawn].find(([, row]) => row.contains(document.activeElement))?.[0];
  const near = focus === undefined ? [0, 0] : [Math.max(0, focus - SPARE), Math.min(shown.length, focus + SPARE)];
  for (const [position, row] of drawn) {
    if (![[first, last], near].some(([start, end]) => position >= start && position < end)) {
      row.remove();
      drawn.delete(position);
    }
  }
  for (const [start, end] of [[first, last], near]) {
    for (let position = start; position < end; position++) {
      if (!drawn.has(position)) drawn.set(position, rowOf(shown[position], position));
    }
  }
  const positions = [...drawn.keys()].sort((a, b) => a - b);
  let filled = 0;
  let next = body.firstChild;
  const place = (node) => {
    if (next === node) next = node.nextSibling;
    else body.insertBefore(node, next);
  };
  for (const old of body.querySelectorAll(".gap")) {
    if (old === next) next = old.nextSibling;
    old.remove();
  }
  for (const position of [...positions, shown.length]) {
    if (position > filled) place(gap(position - filled));
    if (position < shown.length) place(drawn.get(position));
    filled = position + 1;
  }
}

function gap(count) {
  const row = make("tr", "gap");
  row.setAttribute("aria-hidden", "true");
  const cell = make("td");
  cell.colSpan = columns.length;
  cell.style.height = `${count * ROW}px`;
  row.append(cell);
  return row;
}

function rowOf(run, position) {
  const row = make("tr", run === state.selected ? "selected" : "");
  row.setAttribute("aria-rowindex", String(position + 2));
  for (const column of columns) {
    const text = column.text(run);
    if (column.key === "label") {
      const cell = make("th");
      cell.scope = "row";
      const button = make("button", "plain", text);
      button.type = "button";
      button.title = "Show this run";
      button.addEventListener("click", () => select(run, false));
      cell.append(button);
      row.append(cell);
      continue;
    }
    const cell = make("td", column.number ? "number" : "", text);
    if (text.length > 26) cell.title = text;
    if (column.key === "verdict" && text) cell.classList.add(text === "passed" ? "good" : "bad");
    if (column.key === "change" && run.champion) cell.classList.add("champion");
    else if (column.key === "change" && changeOf(run)) cell.classList.add((changeOf(run) < 0) === data.metrics[state.metric].lower ? "good" : "bad");
    row.append(cell);
  }
  return row;
}

function redrawRows() {
  for (const [position, row] of drawn) row.classList.toggle("selected", shown[position] === state.selected);
}

function select(run, scroll) {
  state.selected = run;
  const position = shown.indexOf(run);
  if (scroll && position >= 0) {
    box.scrollTop = Math.max(0, position * ROW - box.clientHeight / 2);
    drawRows();
  }
  redrawRows();
  drawDetails(run);
  drawCharts();
}

function drawDetails(run) {
  const list = make("dl");
  const add = (name, value) => {
    if (value === "" || value === null || value === undefined) return;
    const text = make("dd");
    text.append(make("code", "", String(value)));
    list.append(make("dt", "", name), text);
  };
  add("started", `${when(run.started)} UTC`);
  add("took", run.cached ? "cached: the store had the artifact" : duration(run.seconds));
  add("outcome", run.outcome);
  add("error", run.error);
  add("artifact", run.digest);
  add("estimator", run.estimator);
  add("data", run.source);
  add("commit", run.commit);
  run.params.forEach((value, i) => add(data.params[i], value));
  const scores = make("ul", "scores");
  run.metrics.forEach((value, i) => {
    if (value === null) return;
    const item = make("li");
    item.append(make("span", "soft", data.metrics[i].title), make("strong", "", figure(value)));
    scores.append(item);
  });
  const panel = $("details");
  panel.replaceChildren(make("h2", "", run.label));
  if (run.report) {
    const link = make("a", "", "Open the report");
    link.href = run.report;
    panel.append(link);
  }
  panel.append(scores, list);
  panel.hidden = false;
}

// ---- charts: canvases, whose text alternative is the table

const PAD = { left: 62, right: 14, top: 14, bottom: 40 };
let points = new Map(); // the points of each canvas

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function canvasOf(id) {
  const canvas = $(id);
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  return { canvas, pen, width, height };
}

const STEPS = [1, 2, 3, 6, 12, 24, 48, 168, 336, 720, 1440, 2184, 4368, 8760].map((hours) => hours * HOUR);

function timeSteps(low, high, count) {
  const step = STEPS.find((value) => (high - low) / value <= count) ?? 10 * STEPS.at(-1);
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high && ticks.length < 50; at += step) ticks.push(at);
  return ticks;
}

function decimalsOf(ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : Math.abs(ticks[0]) || 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return +step.toFixed(digits) === +step.toPrecision(6) ? digits : digits + 1;
}

function steps(low, high, count) {
  const raw = (high - low) / Math.max(1, count) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((value) => value >= raw);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9 && ticks.length < 50; at += step) ticks.push(at);
  return ticks;
}

function short(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(0);
  return String(+value.toPrecision(6));
}

function range(values) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

function timeAxis(list) {
  const low = list.reduce((a, run) => Math.min(a, run.started), Infinity);
  const high = list.reduce((a, run) => Math.max(a, run.started), -Infinity);
  const room = (high - low) * 0.03 || HOUR;
  const [start, end] = [low - room, high + room];
  const isLong = end - start > 96 * HOUR;
  const ticks = (count) => timeSteps(start, end, count);
  return { at: (run) => (run.started - start) / (end - start), place: (tick) => (tick - start) / (end - start),
    ticks, text: (ms) => isLong ? when(ms).slice(0, 10) : when(ms).slice(5), wide: 84 };
}

function paramAxis(list, param) {
  const values = list.map((run) => run.params[param]);
  const numbers = values.filter((value) => typeof value === "number");
  if (numbers.length === values.length) {
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    if (low > 0 && high / low > 50) {
      const [start, end] = range(numbers.map(Math.log10));
      const ticks = (count) => {
        const all = [];
        for (let power = Math.ceil(start); power <= end; power++) all.push(power);
        return all.filter((_, i) => i % Math.ceil(all.length / count) === 0);
      };
      return { at: (run) => (Math.log10(run.params[param]) - start) / (end - start),
        place: (tick) => (tick - start) / (end - start), ticks, text: (power) => short(10 ** power), wide: 56 };
    }
    const [start, end] = range(numbers);
    return { at: (run) => (run.params[param] - start) / (end - start), place: (tick) => (tick - start) / (end - start),
      ticks: (count) => steps(start, end, count), text: short, wide: 56 };
  }
  const kinds = [...new Set(values.map((value) => value === null ? "null" : String(value)))]
    .sort(collator.compare);
  const place = (kind) => (kinds.indexOf(kind) + 0.5) / kinds.length;
  const spread = Math.min(0.5 / kinds.length, 0.12);
  return { at: (run) => place(String(run.params[param])) + spread * ((run.index * 0.618034) % 1 - 0.5) * 1.4,
    place, ticks: (count) => kinds.filter((_, i) => i % Math.ceil(kinds.length / count) === 0), text: String, wide: 90 };
}

function clip(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  while (text && pen.measureText(`${text}…`).width > width) text = text.slice(0, -1);
  return `${text}…`;
}

function drawChart(id, list, axisOf, line) {
  const { canvas, pen, width, height } = canvasOf(id);
  const usable = list.filter((run) => valueOf(run, "metric") !== null);
  points.set(id, []);
  const soft = colour("soft");
  pen.fillStyle = soft;
  pen.textBaseline = "middle";
  if (!usable.length) {
    pen.textAlign = "center";
    pen.fillText("No run has these values.", width / 2, height / 2);
    return;
  }
  const inner = { width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
  const [low, high] = range(usable.map((run) => valueOf(run, "metric")));
  const y = (value) => PAD.top + inner.height * (1 - (value - low) / (high - low));
  const axis = axisOf(usable);
  const x = (share) => PAD.left + inner.width * share;
  pen.strokeStyle = colour("line");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  const levels = steps(low, high, Math.max(2, Math.floor(inner.height / 48)));
  const decimals = decimalsOf(levels);
  for (const tick of levels) {
    pen.beginPath();
    pen.moveTo(PAD.left, Math.round(y(tick)) + 0.5);
    pen.lineTo(width - PAD.right, Math.round(y(tick)) + 0.5);
    pen.stroke();
    pen.fillText(Math.abs(tick) < 1e6 ? tick.toFixed(Math.min(decimals, 8)) : short(tick), PAD.left - 8, y(tick));
  }
  pen.textAlign = "center";
  const ticks = axis.ticks(Math.max(2, Math.floor(inner.width / axis.wide)));
  for (const tick of ticks) {
    pen.fillText(clip(pen, axis.text(tick), Math.max(axis.wide, inner.width / ticks.length) - 8), x(axis.place(tick)), height - PAD.bottom + 16);
  }
  if (line) drawBest(pen, usable, x, y, axis);
  const dots = usable.map((run) => ({ run, x: x(axis.at(run)), y: y(valueOf(run, "metric")) }));
  pen.globalAlpha = dots.length > 1500 ? 0.35 : dots.length > 300 ? 0.55 : 0.85;
  const radius = dots.length > 1500 ? 2.5 : dots.length > 300 ? 3.2 : 4.5;
  const paints = new Map([...new Set(dots.map((dot) => paintOf(dot.run)))].map((paint) => [paint, colour(paint)]));
  for (const dot of dots) {
    pen.fillStyle = paints.get(paintOf(dot.run));
    pen.beginPath();
    pen.arc(dot.x, dot.y, radius, 0, 7);
    pen.fill();
  }
  pen.globalAlpha = 1;
  for (const dot of dots) {
    if (dot.run.champion) ring(pen, dot, radius + 4, colour("gold"), 3);
    if (dot.run === state.selected) ring(pen, dot, radius + 3, colour("text"), 2);
  }
  points.set(id, dots);
}

function paintOf(run) {
  if (state.model < 0 && data.models.length > 1) return `c${Math.max(0, run.model) % 6}`;
  return run.gates === "missed" ? "bad" : "accent";
}

function ring(pen, dot, radius, paint, width) {
  pen.strokeStyle = paint;
  pen.lineWidth = width;
  pen.beginPath();
  pen.arc(dot.x, dot.y, radius, 0, 7);
  pen.stroke();
}

function drawBest(pen, list, x, y, axis) {
  if (state.model < 0 && data.models.length > 1) return;
  const lower = data.metrics[state.metric].lower;
  let top = null;
  pen.strokeStyle = colour("good");
  pen.lineWidth = 2;
  pen.beginPath();
  const ordered = [...list].sort((a, b) => a.started - b.started);
  for (const run of ordered) {
    const value = valueOf(run, "metric");
    if (top === null) pen.moveTo(x(axis.at(run)), y(value));
    else if (lower ? value < top : value > top) pen.lineTo(x(axis.at(run)), y(top));
    else continue;
    pen.lineTo(x(axis.at(run)), y(value));
    top = value;
  }
  pen.lineTo(x(axis.at(ordered.at(-1))), y(top));
  pen.stroke();
}

function drawCharts() {
  const title = data.metrics[state.metric]?.title ?? "metric";
  const dated = shown.filter((run) => run.started !== null);
  const isSingle = state.model >= 0 || data.models.length < 2;
  drawChart("time", dated, timeAxis, isSingle);
  $("time").setAttribute("aria-label", `${title} of ${counted(dated.length, "run")} over time; the table has the values`);
  $("time-title").textContent = `${title} over time`;
  const has = shown.filter((run) => state.param >= 0 && run.params[state.param] !== undefined);
  drawChart("scatter", has, (list) => paramAxis(list, state.param), false);
  const param = data.params[state.param] ?? "parameters";
  $("scatter").setAttribute("aria-label", `${title} of ${counted(has.length, "run")} by ${param}; the table has the values`);
  $("scatter-title").textContent = `${title} by parameter`;
  const keys = isSingle
    ? [["accent", "run"], ...(shown.some((run) => run.gates === "missed") ? [["bad", "missed a gate"]] : []), ["good", "best so far", "line"]]
    : data.models.slice(0, 12).map((name, at) => [`c${at % 6}`, name]);
  if (shown.some((run) => run.champion)) keys.push(["gold", "champion", "ring"]);
  $("legend").replaceChildren(...keys.map(([paint, text, shape]) => {
    const item = make("li");
    item.append(make("span", `key ${shape ?? "dot"} ${paint}`), make("span", "", text));
    return item;
  }));
}

function nearest(event) {
  const box = event.target.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let close = null;
  let least = 22 ** 2;
  for (const dot of points.get(event.target.id) ?? []) {
    const distance = (dot.x - x) ** 2 + (dot.y - y) ** 2;
    if (distance < least) [close, least] = [dot, distance];
  }
  return close;
}

for (const id of ["time", "scatter"]) {
  const tip = $(`${id}-tip`);
  $(id).addEventListener("pointermove", (event) => {
    const dot = nearest(event);
    tip.hidden = !dot;
    event.target.style.cursor = dot ? "pointer" : "";
    if (!dot) return;
    const lines = [dot.run.label, when(dot.run.started), `${data.metrics[state.metric].title} ${figure(valueOf(dot.run, "metric"))}`];
    if (state.param >= 0 && dot.run.params[state.param] !== null) lines.push(`${data.params[state.param]} ${dot.run.params[state.param]}`);
    tip.replaceChildren(...lines.map((text, at) => make("div", at ? "" : "strong", text)));
    tip.style.left = `${Math.min(dot.x + 12, event.target.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.max(0, dot.y - tip.offsetHeight - 8)}px`;
  });
  $(id).addEventListener("pointerleave", () => { tip.hidden = true; });
  $(id).addEventListener("click", (event) => {
    const dot = nearest(event);
    if (dot) select(dot.run, true);
  });
}

// ---- champions

function drawChampions() {
  const panel = $("champions");
  const moves = data.moves.map(([model, at, version, digest, by, message, kind]) => ({ model, at, version, digest, by, message, kind }))
    .filter((move) => state.model < 0 || move.model === state.model);
  panel.replaceChildren();
  $("no-champion").hidden = moves.length > 0;
  for (const model of [...new Set(moves.map((move) => move.model))]) {
    const own = moves.filter((move) => move.model === model); // oldest first
    const last = Math.max(own.at(-1).at, ...runs.map((run) => run.started ?? 0));
    const terms = own.map((move, at) => ({ ...move, until: own[at + 1]?.at ?? null }));
    const bar = make("div", "bar");
    bar.setAttribute("aria-hidden", "true");
    const whole = last - own[0].at || 1;
    terms.forEach((term) => {
      const part = make("span", term.kind === "removed" ? "part none" : term.kind === "rollback" ? "part back" : "part",
        term.kind === "removed" ? "" : term.version ? String(term.version) : "");
      part.title = `${when(term.at)}: ${term.kind === "removed" ? "none" : nameOf(term)}`;
      part.style.flexGrow = String(Math.max(0.02, ((term.until ?? last) - term.at) / whole));
      bar.append(part);
    });
    const list = make("ol", "timeline");
    for (const term of terms.slice(-MOVES).reverse()) {
      const item = make("li", term.until === null ? "now" : "");
      const head = make("div");
      const run = runs.find((one) => one.digest && one.digest === term.digest && one.model === model);
      if (run) {
        const button = make("button", "plain strong", nameOf(term));
        button.type = "button";
        button.addEventListener("click", () => select(run, true));
        head.append(button);
      } else head.append(make("strong", "", nameOf(term)));
      if (term.kind === "rollback") head.append(" ", make("span", "badge", "rollback"));
      if (term.kind === "removed") head.append(" ", make("span", "badge", "alias removed"));
      if (term.until === null && term.kind !== "removed") head.append(" ", make("span", "badge current", "now"));
      const length = term.until === null ? "" : `, for ${span(term.until - term.at)}`;
      item.append(head, make("div", "soft", `${when(term.at)}${length}, by ${term.by}`));
      if (term.message) item.append(make("div", "", term.message));
      list.append(item);
    }
    if (state.model < 0 && data.models.length > 1) panel.append(make("h3", "", data.models[model]));
    panel.append(bar, list);
    if (terms.length > MOVES) panel.append(make("p", "soft", `and ${terms.length - MOVES} earlier moves`));
  }
}

function nameOf(move) {
  const name = data.models[move.model];
  return move.version ? `${name}:${move.version}` : `${name} ${move.digest}`;
}

// ---- controls

function option(select, value, text) {
  const item = make("option", "", text);
  item.value = String(value);
  select.append(item);
}

function drawParams(params) {
  const select = $("param");
  const usable = params.length ? params : data.params.map((_, i) => i);
  if (!usable.includes(state.param)) state.param = usable[0] ?? -1;
  select.replaceChildren();
  for (const i of usable) option(select, i, data.params[i]);
  select.value = String(state.param);
  select.disabled = !usable.length;
}

function chooseMetric() {
  // The first metric that the runs in view have; metrics are in their usual order.
  const list = runs.filter(inModel);
  const has = (i) => list.some((run) => run.metrics[i] !== null);
  const usable = data.metrics.map((_, i) => i).filter(has);
  const select = $("metric");
  select.replaceChildren();
  for (const i of usable) option(select, i, data.metrics[i].title);
  if (!usable.includes(state.metric)) state.metric = usable.find((i) => data.metrics[i].headline) ?? usable[0] ?? 0;
  select.value = String(state.metric);
  select.disabled = !usable.length;
}

function start() {
  if (data.models.length > 1) option($("model"), -1, "All models");
  data.models.forEach((name, at) => option($("model"), at, name));
  state.model = runs.find((run) => run.model >= 0)?.model ?? -1;
  $("model").value = String(state.model);
  $("model").disabled = data.models.length < 2;
  state.metric = -1;
  const on = (id, event, apply) => $(id).addEventListener(event, () => { apply($(id).value); box.scrollTop = 0; update(); });
  on("model", "change", (value) => { state.model = +value; chooseMetric(); });
  on("metric", "change", (value) => { state.metric = +value; });
  on("param", "change", (value) => { state.param = +value; });
  on("gates", "change", (value) => { state.gates = value; });
  on("text", "input", (value) => { state.text = value.trim().toLowerCase(); });
  let waits = false;
  box.addEventListener("scroll", () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; drawRows(); });
  }, { passive: true });
  body.addEventListener("focusin", drawRows);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  new ResizeObserver(() => drawCharts()).observe($("charts"));
  new ResizeObserver(() => drawRows()).observe(box);
  chooseMetric();
  update();
}

start();

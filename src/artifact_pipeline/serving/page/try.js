// Connects the parts: gets the model from the server, and a prediction for each row.

const ANNOUNCE_DELAY = 500; // milliseconds; a screen reader announces only the last of several

let token = ""; // kept only in memory
let model = null;
let names = new Map();
let pending = null; // the bodies of the request in flight and of the next one
let next = null;
let announcing = 0;

async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not respond.");
  }
  if (response.status === 401) {
    at("sign-in").hidden = false;
    at("content").hidden = true;
    at("token").focus();
  }
  if (!response.ok) throw new Error((await response.json()).error);
  return response;
}

function showError(error, id = "error") {
  at(id).textContent = error ? error.message : "";
  at(id).hidden = !error;
}

async function open() {
  const name = decodeURIComponent(location.pathname.split("/")[2] ?? "");
  try {
    model = await (await request(`/page/${name}`)).json();
  } catch (error) {
    // Before the first token, the form itself asks for it.
    showError(at("sign-in").hidden || token ? error : null);
    return;
  }
  showError(null);
  at("sign-in").hidden = true;
  at("content").hidden = false;
  document.title = at("title").textContent = model.title;
  at("about").textContent = model.about;
  at("digest").textContent = model.digest;
  at("report").href = `/report/${model.name}`;
  at("metrics").textContent = model.metrics.map(([name, value]) => `${name} ${value}`).join(", ");
  at("models").hidden = model.models.length < 2;
  at("models").replaceChildren(...model.models.map(link));
  names = new Map(model.labels.map((label, index) => [label, model.label_names[index]]));
  at("prediction-title").textContent = model.target ? `Predicted ${model.target}` : "Prediction";
  const { groups, note } = model.examples;
  at("held-out").hidden = !groups.length;
  at("held-out-note").textContent = note;
  at("examples").start(groups, model.image, names);
  at("file").start({ model, names, limits: model.limits, send: (content) => post("predict", content, "text/csv") });
  const input = model.image ? at("pad") : at("row");
  input.hidden = false;
  if (model.image) input.start(model.image);
  else input.start(model.fields, model.row);
  if (model.image && groups.length) input.set(groups[0].rows[0].values);
}

function link(name) {
  const anchor = document.createElement("a");
  anchor.href = `/try/${name}`;
  anchor.textContent = name;
  if (name === model.name) anchor.setAttribute("aria-current", "page");
  return anchor;
}

async function post(action, body, type = "application/json") {
  const headers = { "content-type": type };
  return (await request(`/${action}/${model.name}`, { method: "POST", body, headers })).json();
}

// Send one request at a time; if the row changes meanwhile, only its last version is sent.
async function predict(row) {
  const body = JSON.stringify({ rows: [row] });
  const secret = token ? ` -H "authorization: Bearer $TOKEN"` : "";
  const quoted = body.replaceAll("'", `'\\''`);
  at("curl").textContent =
    `curl ${location.origin}/predict/${model.name}${secret} -H 'content-type: application/json' -d '${quoted}'`;
  next = body;
  if (pending) return;
  at("prediction").setAttribute("aria-busy", "true");
  while (next) {
    [pending, next] = [next, null];
    try {
      show(await post("predict", pending));
      if (!next && model.explains) explain(await post("explain", pending));
    } catch (error) {
      if (!next) fail(error);
    }
  }
  pending = null;
  at("prediction").removeAttribute("aria-busy");
}

function show(response) {
  showError(null, "problem");
  const warnings = response.warnings ?? [];
  at("number").textContent = headline(response);
  at("prediction").show(response, names);
  at("warnings").show(warnings);
  if (!model.explains) explain(null);
  if (!model.image) at("row").mark(warnings);
  announce(at("number").textContent + (warnings.length ? "; unlike the training rows" : ""));
}

const explain = (explained) => at("why").show(explained, model, names);

// An old prediction must not look like the prediction for the new values.
function fail(error) {
  showError(error, "problem");
  at("number").textContent = "No prediction";
  at("prediction").clear();
  at("warnings").show([]);
  explain(null);
  if (!model.image) at("row").mark([], error.message);
}

function headline(response) {
  if (response.predictions) return digits(response.predictions[0]) + (model.unit ? ` ${model.unit}` : "");
  const label = response.labels[0];
  const name = names.get(label) ?? String(label);
  if (!response.probabilities) return name;
  const share = response.probabilities[0][response.classes.indexOf(label)];
  return `${name}, probability ${share > 0.99 && share < 1 ? "over 0.99" : share.toFixed(2)}`;
}

function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    document.querySelector(".headline [role=status]").textContent = text;
  }, ANNOUNCE_DELAY);
}

document.addEventListener("rowchange", (event) => predict(event.detail));
document.addEventListener("chosen", (event) => (model.image ? at("pad") : at("row")).set(event.detail));
at("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  at("token").value = "";
  open();
});
at("report").addEventListener("click", async (event) => {
  if (!token) return; // a link cannot carry the token
  event.preventDefault();
  const tab = window.open("about:blank");
  try {
    const page = await (await request(at("report").href)).blob();
    tab.location = URL.createObjectURL(page);
  } catch (error) {
    tab.close();
    showError(error);
  }
});
open();

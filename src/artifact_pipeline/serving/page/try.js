// Connects the parts: gets the model from the server, and a prediction for each row.

const at = (id) => document.getElementById(id);
let token = ""; // kept only in memory
let model = null;
let names = new Map();
let pending = null; // the body of the request in flight, and of the one after it
let next = null;

async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer.");
  }
  if (response.status === 401) {
    at("sign-in").hidden = false;
    at("content").hidden = true;
    at("token").focus();
  }
  if (!response.ok) throw new Error((await response.json()).error);
  return response;
}

function showError(error) {
  at("error").textContent = error ? error.message : "";
  at("error").hidden = !error;
}

async function open() {
  const name = decodeURIComponent(location.pathname.split("/")[2] ?? "");
  try {
    model = await (await request(`/page/${name}`)).json();
  } catch (error) {
    // Before a token was sent, the form itself explains what is missing.
    showError(at("sign-in").hidden || token ? error : null);
    return;
  }
  showError(null);
  at("sign-in").hidden = true;
  at("content").hidden = false;
  document.title = at("title").textContent = model.title;
  at("digest").textContent = model.digest;
  at("report").href = `/report/${model.name}`;
  at("metrics").replaceChildren(...model.metrics.map(([name, value]) => card(name, value)));
  if (model.models.length > 1) at("models").replaceChildren(...model.models.map(link));
  names = new Map(model.labels.map((label, index) => [label, model.label_names[index]]));
  const examples = model.examples ?? [];
  at("held-out").hidden = !examples.length;
  at("examples").start(examples, model.image, names);
  const input = model.image ? at("pad") : at("row");
  input.hidden = false;
  if (model.image) input.start(model.image);
  else input.start(model.fields, model.row);
  if (model.image && examples.length) input.set(examples.at(-1).values);
}

function card(name, value) {
  const item = document.createElement("li");
  const number = document.createElement("strong");
  number.textContent = value.toFixed(4);
  item.append(number, name);
  return item;
}

function link(name) {
  const anchor = document.createElement("a");
  anchor.href = `/try/${name}`;
  anchor.textContent = name;
  if (name === model.name) anchor.setAttribute("aria-current", "page");
  return anchor;
}

// Send one request at a time; of the rows that change meanwhile, only the last is sent.
async function predict(row) {
  const body = JSON.stringify({ rows: [row] });
  const secret = token ? ` -H "authorization: Bearer $TOKEN"` : "";
  const quoted = body.replaceAll("'", `'\\''`);
  at("curl").textContent =
    `curl ${location.origin}/predict/${model.name}${secret} -H 'content-type: application/json' -d '${quoted}'`;
  next = body;
  if (pending) return;
  while (next) {
    [pending, next] = [next, null];
    try {
      const headers = { "content-type": "application/json" };
      const response = await request(`/predict/${model.name}`, { method: "POST", body: pending, headers });
      at("prediction").show(await response.json(), names);
      showError(null);
    } catch (error) {
      showError(error);
    }
  }
  pending = null;
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

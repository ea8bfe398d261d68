// Brings the parts together: asks the server what the model is, and what it says of a row.

const at = (id) => document.getElementById(id);
let token = ""; // kept here alone
let model = null;
let names = new Map();
let asking = null; // the row that is asked about, and the one after it
let next = null;

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer.");
  }
  if (answer.status === 401) {
    at("door").hidden = false;
    at("room").hidden = true;
    at("token").focus();
  }
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

function trouble(error) {
  at("trouble").textContent = error ? error.message : "";
  at("trouble").hidden = !error;
}

async function open() {
  const name = decodeURIComponent(location.pathname.split("/")[2] ?? "");
  try {
    model = await (await ask(`/page/${name}`)).json();
  } catch (error) {
    // That a token is asked for is what the form says, until one was given.
    trouble(at("door").hidden || token ? error : null);
    return;
  }
  trouble(null);
  at("door").hidden = true;
  at("room").hidden = false;
  document.title = at("title").textContent = model.title;
  at("digest").textContent = model.digest;
  at("report").href = `/report/${model.name}`;
  at("metrics").replaceChildren(...model.metrics.map(([what, value]) => card(what, value)));
  if (model.models.length > 1) at("others").replaceChildren(...model.models.map(link));
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

function card(what, value) {
  const item = document.createElement("li");
  const number = document.createElement("strong");
  number.textContent = value.toFixed(4);
  item.append(number, what);
  return item;
}

function link(name) {
  const one = document.createElement("a");
  one.href = `/try/${name}`;
  one.textContent = name;
  if (name === model.name) one.setAttribute("aria-current", "page");
  return one;
}

// One request at a time; of those that come meanwhile only the last is asked.
async function given(row) {
  const body = JSON.stringify({ rows: [row] });
  const secret = token ? ` -H "authorization: Bearer $TOKEN"` : "";
  const quoted = body.replaceAll("'", `'\\''`);
  at("curl").textContent =
    `curl ${location.origin}/predict/${model.name}${secret} -H 'content-type: application/json' -d '${quoted}'`;
  next = body;
  if (asking) return;
  while (next) {
    [asking, next] = [next, null];
    try {
      const headers = { "content-type": "application/json" };
      const answer = await ask(`/predict/${model.name}`, { method: "POST", body: asking, headers });
      at("said").show(await answer.json(), names);
      trouble(null);
    } catch (error) {
      trouble(error);
    }
  }
  asking = null;
}

document.addEventListener("given", (event) => given(event.detail));
document.addEventListener("chosen", (event) => (model.image ? at("pad") : at("row")).set(event.detail));
at("door").addEventListener("submit", (event) => {
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
    const page = await (await ask(at("report").href)).blob();
    tab.location = URL.createObjectURL(page);
  } catch (error) {
    tab.close();
    trouble(error);
  }
});
open();

// Shared parts and texts of the page.

const at = (id) => document.getElementById(id);

function element(tag, text, name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function list(texts) {
  const made = document.createElement("ul");
  made.append(...texts.map((text) => element("li", text)));
  return made;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

// A number with four significant digits, or all digits before the point.
function digits(value) {
  const isLarge = Math.abs(value) >= 1e4 && Math.abs(value) < 1e15;
  return isLarge ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
}

const signed = (value) => (value > 0 ? "+" : "") + digits(value).replace("-", "−");

const counted = (count) => `${count.toLocaleString("en")} ${count === 1 ? "row" : "rows"}`;

// A value of a column as text.
function written(value, field) {
  if (value === null || value === "") return "missing";
  if (field?.kind === "date") return isoDate(value);
  if (field?.kind === "boolean") return String(value === 1);
  return typeof value === "number" ? digits(value) : value;
}

// A date is its days since 1970-01-01.
function isoDate(value) {
  const date = new Date(value * 86_400_000);
  return Number.isNaN(date.getTime()) ? String(value) : date.toISOString().replace(/T00:00:00\.000Z$/, "");
}

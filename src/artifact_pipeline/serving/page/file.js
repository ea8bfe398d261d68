// A CSV of rows, their predictions, and the download of the predictions as a CSV.

const PREVIEW = 20; // maximum rows to show

class CsvFile extends HTMLElement {
  // send(content) returns the response of the server.
  start({ model, names, limits, send }) {
    Object.assign(this, { model, names, limits, send });
    const columns = model.fields.length <= 12 ? `: ${model.fields.map(({ name }) => name).join(", ")}` : "";
    const megabytes = Math.floor(limits.bytes / 2 ** 20);
    const note = `A CSV with the ${model.fields.length} columns of the model by name${columns}. Up to ` +
      `${limits.rows.toLocaleString("en")} rows and ${megabytes} MiB; it is sent to this server only.`;
    const label = element("label", "CSV with rows");
    const input = document.createElement("input");
    [input.type, input.accept, input.id] = ["file", ".csv,text/csv", "csv"];
    label.htmlFor = input.id;
    // Allows choosing the same file again after a correction.
    input.addEventListener("click", () => (input.value = ""));
    input.addEventListener("change", () => input.files.length && this.predict(input.files[0]));
    this.result = document.createElement("div");
    this.result.setAttribute("role", "status");
    this.replaceChildren(element("p", note, "soft"), label, document.createElement("br"), input, this.result);
  }

  async predict(file) {
    if (this.url) URL.revokeObjectURL(this.url);
    try {
      if (file.size > this.limits.bytes) throw new Error(`${file.name}: has ${file.size} bytes, at most ${this.limits.bytes} are sent`);
      this.result.replaceChildren(element("p", `Predicting ${file.name} …`));
      this.show(await this.send(file));
    } catch (error) {
      this.result.replaceChildren(element("p", error.message, "problem"));
    }
  }

  show(response) {
    const [head, rows] = this.table(response);
    const warnings = response.warnings ?? [];
    const unlike = new Set(warnings.flatMap((warning) => warning.rows));
    const summary = `${counted(rows.length)} predicted` +
      (unlike.size ? `, ${counted(unlike.size)} unlike the training rows` : "") + ".";
    const notes = list(warnings.map(({ column, problem, count }) => `${column}: ${problem} (${counted(count)})`));
    notes.className = "notes";
    const download = element("a", "Download the predictions as CSV");
    const content = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
    this.url = download.href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    download.download = `predictions-${response.digest.slice(7, 19)}.csv`;
    const link = document.createElement("p");
    link.append(download);
    this.result.replaceChildren(element("p", summary), ...(warnings.length ? [notes] : []), link, preview(head, rows));
  }

  // The columns that `infer --output` writes, and the warnings for each row.
  table(response) {
    const isClass = Boolean(response.labels);
    const predicted = response.labels ?? response.predictions;
    const classes = (response.probabilities ? response.classes : []).map((label) => (typeof label === "boolean" ? capital(String(label)) : label));
    const head = [response.id ?? "row", isClass ? "label" : "prediction", ...classes.map((label) => `probability_${label}`), "warnings"];
    const problems = predicted.map(() => []);
    for (const { column, problem, rows } of response.warnings ?? [])
      for (const row of rows) problems[row - 1].push(`${column}: ${problem}`);
    const rows = predicted.map((value, index) => [
      response.ids?.[index] ?? index + 1, value, ...(response.probabilities?.[index] ?? []), problems[index].join("; "),
    ]);
    return [head, rows];
  }
}

// A spreadsheet reads a text that begins like this as a formula, so it gets an apostrophe.
const FORMULA = /^[\s]*[=+\-@\t\r]/;

function cell(value) {
  if (typeof value !== "string") return String(value);
  const isNumber = value.trim() !== "" && Number.isFinite(Number(value));
  const text = FORMULA.test(value) && !isNumber ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function preview(head, rows) {
  const table = document.createElement("table");
  const few = rows.slice(0, PREVIEW);
  const caption = rows.length > few.length ? `The first ${few.length} of ${counted(rows.length)}` : counted(rows.length);
  table.createCaption().textContent = caption;
  const top = table.createTHead().insertRow();
  head.forEach((name, index) => {
    const title = element("th", name, typeof few[0]?.[index] === "number" ? "number-cell" : "");
    title.scope = "col";
    top.append(title);
  });
  const body = table.createTBody();
  for (const row of few) {
    const line = body.insertRow();
    row.forEach((value, index) => {
      const isNumber = typeof value === "number";
      line.append(element("td", isNumber && index ? digits(value) : String(value), isNumber ? "number-cell" : ""));
    });
  }
  const box = element("div", "", "scroll");
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Predictions");
  box.tabIndex = 0;
  box.append(table);
  return box;
}

customElements.define("csv-file", CsvFile);

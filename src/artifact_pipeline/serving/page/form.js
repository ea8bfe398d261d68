// A form for one row, with a field for each feature.

const LISTED = 30; // maximum choices of a list; with more, the field is a text with suggestions

class RowForm extends HTMLElement {
  start(fields, values) {
    this.fields = fields;
    const form = document.createElement("form");
    form.className = "fields";
    form.addEventListener("submit", (event) => event.preventDefault());
    this.inputs = fields.map((field, index) => {
      const [box, input] = this.field(field, index);
      form.append(box);
      return input;
    });
    form.addEventListener("input", () => this.notify());
    this.replaceChildren(form);
    this.set(values);
  }

  field(field, index) {
    const box = document.createElement("div");
    box.className = "field";
    const label = document.createElement("label");
    label.textContent = field.name + (field.unit ? ` (${field.unit})` : "");
    const input = this.input(field, index);
    label.htmlFor = input.id = `field-${index}`;
    const hint = document.createElement("div");
    hint.className = "hint";
    hint.id = `hint-${index}`;
    hint.textContent = field.hint;
    const mark = document.createElement("div");
    mark.className = "mark";
    mark.id = `mark-${index}`;
    input.setAttribute("aria-describedby", `${hint.id} ${mark.id}`);
    box.append(label, input, hint, mark);
    return [box, input];
  }

  input(field, index) {
    const options = this.options(field);
    if (options) {
      const select = document.createElement("select");
      for (const [value, text] of options) select.add(new Option(text, value));
      return select;
    }
    const input = document.createElement("input");
    if (field.kind === "number") input.inputMode = "decimal";
    if (field.kind === "date") input.placeholder = field.format?.date ?? "2026-01-31";
    if (field.categories) {
      const list = document.createElement("datalist");
      list.id = `known-${index}`;
      for (const text of field.categories) list.append(new Option(text));
      input.setAttribute("list", list.id);
      this.ownerDocument.body.append(list);
    }
    return input;
  }

  // A column that accepts only known values is a list of choices.
  options({ kind, categories, unseen, nullable }) {
    const empty = ["", "(missing)"];
    if (kind === "boolean") return [...(nullable ? [empty] : []), ["1", "true"], ["0", "false"]];
    if (!categories || unseen || categories.length > LISTED) return null;
    const known = categories.filter((text) => text).map((text) => [text, text]);
    return nullable || categories.includes("") ? [empty, ...known] : known;
  }

  set(values) {
    this.inputs.forEach((input, index) => {
      const value = values[index];
      const isDay = this.fields[index].kind === "date" && typeof value === "number";
      input.value = value === null ? "" : isDay ? isoDate(value) : String(value);
      input.defaultValue = input.value;
    });
    this.notify();
  }

  // Text that is not a number stays text, and so does input in a column with a format: the server
  // parses it or reports the problem.
  values() {
    return this.inputs.map((input, index) => {
      const { kind, format } = this.fields[index];
      const text = input.value.trim();
      if (kind === "text") return input.value;
      if (text === "") return null;
      if (kind === "boolean") return text === "1";
      const plain = kind === "number" && (!format || input.value === input.defaultValue);
      return plain && Number.isFinite(Number(text)) ? Number(text) : text;
    });
  }

  // Mark the inputs with a value that no training row has, and those that an error names.
  mark(warnings, error = "") {
    this.inputs.forEach((input, index) => {
      const { name } = this.fields[index];
      const problems = warnings.filter((warning) => warning.column === name).map((warning) => warning.problem);
      const isWrong = [`column '${name}'`, `column "${name}"`, `: ${name} is `].some((text) => error.includes(text));
      input.parentElement.classList.toggle("unseen", problems.length > 0);
      input.parentElement.classList.toggle("wrong", isWrong);
      input.setAttribute("aria-invalid", String(isWrong));
      at(`mark-${index}`).textContent = problems.join("; ");
    });
  }

  notify() {
    this.dispatchEvent(new CustomEvent("rowchange", { bubbles: true, detail: this.values() }));
  }
}

customElements.define("row-form", RowForm);

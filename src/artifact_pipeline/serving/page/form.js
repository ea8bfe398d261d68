// A form for one row, with a field for each feature.

class RowForm extends HTMLElement {
  start(fields, values) {
    this.fields = fields;
    const form = document.createElement("form");
    form.className = "fields";
    form.addEventListener("submit", (event) => event.preventDefault());
    this.inputs = fields.map((field, index) => {
      const label = document.createElement("label");
      label.textContent = field.name + (field.nullable ? " (may be empty)" : "");
      const input = this.input(field, index);
      label.append(input);
      form.append(label);
      return input;
    });
    form.addEventListener("input", () => this.notify());
    this.replaceChildren(form);
    this.set(values);
  }

  input(field, index) {
    if (field.kind === "boolean") {
      const select = document.createElement("select");
      for (const [value, text] of [["", ""], ["1", "true"], ["0", "false"]]) select.add(new Option(text, value));
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

  set(values) {
    this.inputs.forEach((input, index) => {
      const value = values[index];
      const isDay = this.fields[index].kind === "date" && typeof value === "number";
      input.value = value === null ? "" : isDay ? isoDate(value) : String(value);
      input.defaultValue = input.value;
    });
    this.notify();
  }

  // Text that is not a number stays text, and so does what a user types in a column with a format:
  // the server parses it, or reports what is wrong.
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

  notify() {
    this.dispatchEvent(new CustomEvent("rowchange", { bubbles: true, detail: this.values() }));
  }
}

// A date is its days since 1970-01-01.
function isoDate(value) {
  return new Date(value * 86_400_000).toISOString().replace(/T00:00:00\.000Z$/, "");
}

customElements.define("row-form", RowForm);

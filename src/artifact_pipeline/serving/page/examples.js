// Held-out rows to choose from, in groups, drawn if they are images.

class ExampleList extends HTMLElement {
  start(groups, image, names) {
    this.replaceChildren();
    for (const group of groups) {
      if (group.title) this.append(element("h3", group.title));
      const list = element("ul", "", "choices");
      list.append(...group.rows.map((row) => item(row, image, names)));
      this.append(list);
    }
  }
}

function item(example, image, names) {
  const named = (label) => (typeof label === "number" && !names.size ? digits(label) : names.get(label) ?? String(label));
  const made = document.createElement("li");
  if (image) made.className = "image";
  const button = document.createElement("button");
  button.type = "button";
  if (image) button.append(draw(example.values, image));
  const isRight = example.truth === example.label;
  const truth = `row ${example.row}: ${named(example.truth)}`;
  const text = image ? named(example.truth) : truth;
  button.append(isRight ? text : `${text}, predicted ${named(example.label)}`);
  button.setAttribute("aria-label", isRight ? `${truth}` : `${truth}, predicted ${named(example.label)}`);
  button.addEventListener("click", () => {
    button.dispatchEvent(new CustomEvent("chosen", { bubbles: true, detail: example.values }));
  });
  made.append(button);
  return made;
}

function draw(values, image) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d");
  const data = context.createImageData(image.width, image.height);
  values.forEach((value, index) => {
    const ink = (value - image.min) / (image.max - image.min);
    data.data.set([128, 128, 128, Math.round(255 * ink)], 4 * index);
  });
  context.putImageData(data, 0, 0);
  return canvas;
}

customElements.define("example-list", ExampleList);

// Held-out rows to choose from, drawn if they are images.

class ExampleList extends HTMLElement {
  start(examples, image, names) {
    const list = document.createElement("ul");
    list.className = "choices";
    for (const example of examples) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      const truth = names.get(example.truth) ?? String(example.truth);
      if (image) button.append(draw(example.values, image));
      button.append(image ? truth : `row ${example.row}: ${truth}`);
      button.setAttribute("aria-label", `row ${example.row}, which is ${truth}`);
      button.addEventListener("click", () => {
        this.dispatchEvent(new CustomEvent("chosen", { bubbles: true, detail: example.values }));
      });
      item.append(button);
      list.append(item);
    }
    this.replaceChildren(list);
  }
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

// A few held-out rows to choose from, drawn where they are images.

class ExampleList extends HTMLElement {
  start(examples, image, names) {
    const list = document.createElement("ul");
    list.className = "choices";
    for (const one of examples) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      const truth = names.get(one.truth) ?? String(one.truth);
      if (image) button.append(drawn(one.values, image));
      button.append(image ? truth : `row ${one.row}: ${truth}`);
      button.setAttribute("aria-label", `row ${one.row}, which is ${truth}`);
      button.addEventListener("click", () => {
        this.dispatchEvent(new CustomEvent("chosen", { bubbles: true, detail: one.values }));
      });
      item.append(button);
      list.append(item);
    }
    this.replaceChildren(list);
  }
}

function drawn(values, image) {
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

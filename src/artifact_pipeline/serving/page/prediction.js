// A prediction: each class with its probability, as a bar and as text; or a number. Beside it, the
// values that no training row has, and what moved the prediction.

const SHOWN = 10; // contributions to show; the others are folded

class PredictionBars extends HTMLElement {
  clear() {
    this.replaceChildren();
    this.count = 0;
  }

  show(response, names) {
    if (!response.probabilities) return this.clear();
    const label = response.labels[0];
    const shares = response.probabilities[0];
    if (this.count !== shares.length) {
      this.count = shares.length;
      const item = `<li><span class="name"></span><span class="track"><span class="bar"></span></span><span class="value"></span></li>`;
      this.innerHTML = `<ul class="bars">${item.repeat(shares.length)}</ul>`;
    }
    [...this.querySelectorAll("li")].forEach((item, index) => {
      const name = names.get(response.classes[index]) ?? String(response.classes[index]);
      item.querySelector(".name").textContent = name;
      item.querySelector(".value").textContent = shares[index].toFixed(4);
      item.querySelector(".bar").style.width = `${100 * shares[index]}%`;
      item.classList.toggle("best", response.classes[index] === label);
    });
  }
}

class ValueWarnings extends HTMLElement {
  show(warnings) {
    this.hidden = !warnings.length;
    const title = element("strong", "Unlike the training rows");
    const text = element("div", "No training row has such values, so the prediction may be unreliable.");
    this.replaceChildren(title, text, list(warnings.map(({ column, problem }) => `${column}: ${problem}`)));
  }
}

class ValueContributions extends HTMLElement {
  // model.image: contributions are drawn as an image.
  show(explained, model, names) {
    this.hidden = !explained;
    if (!explained) return this.replaceChildren();
    const { scale, output, typical_output: usual, contributions } = explained;
    const label = names.get(explained.label) ?? explained.label;
    const of = scale === "prediction" ? "" : ` of ${label}`;
    const moved = contributions.filter((one) => one.contribution);
    moved.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
    const sum = `${capital(scale)}${of}: ${digits(output)}, and ${digits(usual)} for the typical row ` +
      "(medians and most frequent values). The contributions add up to the difference.";
    this.replaceChildren(element("h3", "What moved it"), element("p", sum, "soft"));
    if (!moved.length) this.append(element("p", "Nothing: no value changes the prediction from that of the typical row."));
    else if (model.image) this.append(...heat(contributions, model.image, label));
    else this.append(...this.list(moved, model));
    this.append(element("p", `${explained.method}.`, "soft"));
  }

  list(moved, model) {
    const most = Math.abs(moved[0].contribution);
    const items = moved.map((one) => {
      const item = document.createElement("li");
      const name = element("div", "", "name");
      const field = model.fields.find(({ name }) => name === one.column);
      const values = `${written(one.value, field)} instead of ${written(one.typical, field)}`;
      name.append(element("b", one.column), element("span", values));
      const balance = element("div", "", "balance");
      const bar = document.createElement("i");
      if (one.contribution < 0) bar.className = "down";
      bar.style.width = `${(50 * Math.abs(one.contribution)) / most}%`;
      balance.append(bar);
      item.append(name, balance, element("div", signed(one.contribution), "value"));
      return item;
    });
    const top = element("ul", "", "why");
    top.append(...items.slice(0, SHOWN));
    if (items.length <= SHOWN) return [top];
    const others = document.createElement("details");
    const rest = element("ul", "", "why");
    rest.append(...items.slice(SHOWN));
    others.append(element("summary", `${items.length - SHOWN} others`), rest);
    return [top, others];
  }
}

function heat(contributions, image, label) {
  const canvas = document.createElement("canvas");
  canvas.className = "heat";
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.setAttribute("role", "img");
  const strongest = contributions.reduce((a, b) => (Math.abs(b.contribution) > Math.abs(a.contribution) ? b : a));
  canvas.setAttribute("aria-label", `Contributions of the pixels; the strongest is that of ${strongest.column}, ${signed(strongest.contribution)}`);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  contributions.forEach(({ contribution }, index) => {
    context.fillStyle = style.getPropertyValue(contribution < 0 ? "--bad" : "--accent");
    context.globalAlpha = Math.abs(contribution / strongest.contribution);
    context.fillRect(index % image.width, Math.floor(index / image.width), 1, 1);
  });
  const legend = element("p", "");
  legend.append(element("span", "", "legend"), ` for ${label}, `, element("span", "", "legend down"), " against it");
  return [canvas, legend];
}

customElements.define("prediction-bars", PredictionBars);
customElements.define("value-warnings", ValueWarnings);
customElements.define("value-contributions", ValueContributions);

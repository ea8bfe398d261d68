// A prediction: each class with its probability, as a bar and as text; or a number.

const ANNOUNCE_DELAY = 500; // milliseconds; a screen reader announces only the last of several

class PredictionBars extends HTMLElement {
  connectedCallback() {
    this.innerHTML = `<div></div><p class="visually-hidden" role="status"></p>`;
  }

  show(response, names) {
    const content = this.firstChild;
    if (response.predictions) {
      content.innerHTML = `<p class="number"></p>`;
      content.firstChild.textContent = String(Number(response.predictions[0].toPrecision(6)));
      this.announce(content.textContent);
      return;
    }
    const label = response.labels[0];
    if (!response.probabilities) {
      content.innerHTML = `<p class="number"></p>`;
      content.firstChild.textContent = names.get(label) ?? String(label);
      this.announce(content.textContent);
      return;
    }
    const shares = response.probabilities[0];
    if (this.count !== shares.length) {
      this.count = shares.length;
      const item = `<li><span class="name"></span><span class="track"><span class="bar"></span></span><span class="value"></span></li>`;
      content.innerHTML = `<ul class="bars">${item.repeat(shares.length)}</ul>`;
    }
    [...content.querySelectorAll("li")].forEach((item, index) => {
      const name = names.get(response.classes[index]) ?? String(response.classes[index]);
      item.querySelector(".name").textContent = name;
      item.querySelector(".value").textContent = shares[index].toFixed(4);
      item.querySelector(".bar").style.width = `${100 * shares[index]}%`;
      item.classList.toggle("best", response.classes[index] === label);
    });
    const best = shares[response.classes.indexOf(label)];
    this.announce(`${names.get(label) ?? label}, probability ${best.toFixed(2)}`);
  }

  announce(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.querySelector("[role=status]").textContent = text;
    }, ANNOUNCE_DELAY);
  }
}

customElements.define("prediction-bars", PredictionBars);

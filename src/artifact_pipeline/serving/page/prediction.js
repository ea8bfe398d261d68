// What the model says: each class with its probability, as a bar and as text; or a number.

const REST = 500; // milliseconds after which a screen reader is told

class SaidBars extends HTMLElement {
  connectedCallback() {
    this.innerHTML = `<div></div><p class="visually-hidden" role="status"></p>`;
  }

  show(answer, names) {
    const place = this.firstChild;
    if (answer.predictions) {
      place.innerHTML = `<p class="number"></p>`;
      place.firstChild.textContent = String(Number(answer.predictions[0].toPrecision(6)));
      this.tell(place.textContent);
      return;
    }
    const label = answer.labels[0];
    if (!answer.probabilities) {
      place.innerHTML = `<p class="number"></p>`;
      place.firstChild.textContent = names.get(label) ?? String(label);
      this.tell(place.textContent);
      return;
    }
    const shares = answer.probabilities[0];
    if (this.count !== shares.length) {
      this.count = shares.length;
      const item = `<li><span class="name"></span><span class="track"><span class="bar"></span></span><span class="value"></span></li>`;
      place.innerHTML = `<ul class="bars">${item.repeat(shares.length)}</ul>`;
    }
    [...place.querySelectorAll("li")].forEach((item, index) => {
      const name = names.get(answer.classes[index]) ?? String(answer.classes[index]);
      item.querySelector(".name").textContent = name;
      item.querySelector(".value").textContent = shares[index].toFixed(4);
      item.querySelector(".bar").style.width = `${100 * shares[index]}%`;
      item.classList.toggle("best", answer.classes[index] === label);
    });
    const best = shares[answer.classes.indexOf(label)];
    this.tell(`${names.get(label) ?? label}, probability ${best.toFixed(2)}`);
  }

  tell(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.querySelector("[role=status]").textContent = text;
    }, REST);
  }
}

customElements.define("said-bars", SaidBars);

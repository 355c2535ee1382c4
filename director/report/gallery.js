"use strict";
{
  const form = document.querySelector(".filters"), list = document.querySelector(".cards");
  const cards = [...list.children].map((card, place) => ({
    card, place, name: card.dataset.name, status: card.dataset.status, picked: "picked" in card.dataset,
    words: card.textContent.toLowerCase(),
  }));
  const orders = {
    worst: (a, b) => a.place - b.place,
    best: (a, b) => b.place - a.place,
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  };
  const field = (name) => form.elements[name].value;
  const show = () => {
    const words = field("words").trim().toLowerCase(), status = field("status");
    let seen = 0;
    for (const each of cards) {
      const fits = (!status || (status === "picked" ? each.picked : each.status === status)) && each.words.includes(words);
      each.card.hidden = !fits;
      seen += fits;
    }
    form.querySelector("output").textContent = `${seen} of ${cards.length}`;
  };
  const order = () => list.append(...[...cards].sort(orders[field("order")]).map((each) => each.card));
  form.hidden = false;
  form.addEventListener("input", (event) => (event.target.name === "order" ? order() : show()));
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
  if (field("order") !== "worst") order();
}

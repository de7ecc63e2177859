// Classes: what networks recognise, what they confuse, and the images that they are most wrong about.
const FEW = 15; // classes that are shown at once

let classWords = ""; // what classes of many are shown, as long as the page is open

// The classes to show: all in their order, or of many those that the first network recognises least.
const shownClasses = (part, network) => {
  const labels = part.names.map((_, label) => label).filter((label) => part.counts[label] > 0 && part.names[label].toLowerCase().includes(classWords));
  if (labels.length <= FEW) return labels;
  return labels.sort((i, j) => network.recall[i] - network.recall[j] || part.counts[j] - part.counts[i]).slice(0, FEW);
};

const median = (values) => {
  const sorted = values.filter((value) => value !== null).sort((i, j) => i - j);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const scrolled = (name, table) => element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table);
const heading = (names, numbers) => element("tr", {}, ...names.map((name, place) => element("th", { scope: "col", ...(place >= names.length - numbers && { class: "n" }) }, name)));
const shaded = (value, text) => element("td", { class: "share", style: `--share:${value.toFixed(3)}` }, text);
const rowHead = (name) => element("th", { scope: "row" }, name);

const recallTable = (part, entries) => {
  const names = ["class", "images", ...entries.map(({ title }) => `recall ${title}`.trim())];
  const rows = shownClasses(part, entries[0].network).map((label) => element("tr", {}, rowHead(part.names[label]), element("td", { class: "n" }, whole(part.counts[label])),
    ...entries.map(({ network }) => shaded(network.recall[label] / 100, `${network.recall[label].toFixed(1)} %`))));
  const none = element("tr", {}, element("td", { colspan: names.length }, "No class matches."));
  return scrolled("Recall by class", element("table", { class: "recalls" }, element("thead", {}, heading(names, names.length - 1)), element("tbody", {}, ...(rows.length ? rows : [none]))));
};

const confusionMatrix = (part, network) => {
  const isTall = Math.max(...part.names.map((name) => name.length)) > 3;
  const head = element("tr", isTall ? { class: "tall" } : {}, element("td", {}), ...part.names.map((name) => element("th", { scope: "col" }, element("span", {}, name))));
  const rows = network.matrix.map((row, label) => element("tr", {}, rowHead(part.names[label]),
    ...row.map((images, answer) => (images ? shaded(images / part.counts[label], whole(images)) : element("td", { class: "share nothing" }, label === answer ? "0" : "")))));
  return element("table", { class: "shares" }, element("thead", {}, head), element("tbody", {}, ...rows));
};

const confusedPairs = (part, network) => {
  const rows = network.pairs.map(([label, answer, images]) => element("tr", {}, rowHead(part.names[label]), element("td", {}, part.names[answer]), element("td", { class: "n" }, `${whole(images)} of ${whole(part.counts[label])}`)));
  return element("table", {}, element("thead", {}, heading(["class", "taken for", "images"], 1)), element("tbody", {}, ...rows));
};

const mistakeList = (part, network) => {
  const shown = network.mistakes.filter(([image]) => part.pictures[image]);
  if (!shown.length) return [];
  const items = shown.map(([image, label, answer, confidence]) =>
    element("li", {}, element("img", { src: part.pictures[image], alt: `an image of class ${part.names[label]}` }),
      element("span", {}, element("b", {}, part.names[answer]), `, ${share(confidence)} sure`, element("br"), `is ${part.names[label]}`)));
  return [element("p", { class: "hint" }, "The wrong answers that it gave the highest probability:"), element("ul", { class: "mistakes" }, ...items)];
};

// One network's confusions and worst mistakes.
const confusions = (part, { title, network }) => {
  const badge = title ? element("b", { class: `badge ${title.toLowerCase()}` }, title) : null;
  const isWhole = network.matrix !== null;
  const table = isWhole ? confusionMatrix(part, network) : confusedPairs(part, network);
  const words = isWhole ? " rows are classes, columns answers" : network.pairs.length ? " the most frequent confusions" : " gave no image a wrong class";
  return element("figure", {}, element("figcaption", {}, badge, title ? words : words.trim()), isWhole || network.pairs.length ? scrolled(`Confusions ${title}`.trim(), table) : null, ...mistakeList(part, network));
};

// Everything about some networks that answered the same images: `entries` have a title (A, B or none) and a network.
const describeClasses = (root, part, entries) => {
  const labels = part.counts.filter((images) => images > 0).length;
  const medians = entries.map(({ title, network }) => `${median(network.recall).toFixed(1)} % ${title}`.trim()).join(", ");
  const some = labels > FEW ? ` Of ${whole(labels)} classes, these are recognised least${entries[0].title ? ` by ${entries[0].title}` : ""}; the median recall is ${medians}.` : "";
  const recalls = element("div", {}, recallTable(part, entries));
  const field = filterField("classes", "a part of a name", (text) => { classWords = text.trim().toLowerCase(); recalls.replaceChildren(recallTable(part, entries)); });
  field.value = classWords;
  root.replaceChildren(
    element("p", { class: "hint" }, `Recall: the share of a class's ${part.images} that is recognised.${some}`),
    ...(labels > FEW ? [element("p", { class: "choices" }, element("label", {}, "Filter ", field))] : []),
    recalls, element("div", { class: "pair" }, ...entries.map((entry) => confusions(part, entry))));
};

// The picked networks on the validation images, as far as their answers are on the page.
const describePicked = (picked) => {
  const part = data.classes.validation;
  if (part === null) return;
  const entries = picked.map((index, place) => ({ title: "AB"[place], index, network: index === null ? undefined : part.networks[nets.id[index]] }));
  const known = entries.filter(({ network, index }, place) => network !== undefined && picked.indexOf(index) === place);
  const missing = entries.filter(({ network, index }) => network === undefined && index !== null).map(({ title }) => title);
  byId("classes-note").textContent = missing.length ? `Answers of the front and of ${data.referenceName} are on this page, not those of ${missing.join(" and ")}.` : "";
  if (known.length) describeClasses(byId("classes"), part, known);
  else byId("classes").replaceChildren();
};

// The networks that were trained in full on the test images, one at a time.
const describeShipped = () => {
  const part = data.classes.test;
  const choice = byId("shipped");
  if (part === null || choice === null) return;
  choice.append(...Object.keys(part.networks).map((name) => element("option", { value: name }, name)));
  const draw = () => describeClasses(byId("shipped-classes"), part, [{ title: "", network: part.networks[choice.value] }]);
  choice.addEventListener("change", draw);
  draw();
};

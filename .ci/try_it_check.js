// Uses the page "Try it" as a visitor would; .ci/try_it.py compares what it shows with Python.
const find = selector => document.querySelector(selector);
const status = () => find('.status').textContent;
const busy = () => /^(Loading|Looking)/.test(status());

async function until(condition) {
  const latest = performance.now() + 30000;
  while (!condition()) {
    if (performance.now() > latest) throw new Error(`waited in vain for ${condition}`);
    await new Promise(done => setTimeout(done, 20));
  }
}

function bars() {
  const names = [...document.querySelectorAll('.bars .name')].map(span => span.textContent);
  const shares = [...document.querySelectorAll('.bars .share')].map(span => +span.dataset.share);
  return Object.fromEntries(names.map((name, i) => [name, shares[i]]));
}

// Both sets of bars for each face, and the pixels that the model was given.
function faces() {
  return [...document.querySelectorAll('.face')].map((_, i) => {
    document.querySelectorAll('.face')[i].click();
    const {width, height} = document.querySelectorAll('.face canvas')[i];
    const context = document.querySelectorAll('.face canvas')[i].getContext('2d');
    const pixels = [...context.getImageData(0, 0, width, height).data];
    const found = {pixels: pixels.filter((_, k) => k % 4 < 3)};
    for (const kind of ['learned', 'derived']) {
      find(`[value=${kind}]`).click();
      found[kind] = bars();
    }
    return found;
  });
}

async function choose(file) {
  const files = new DataTransfer();
  files.items.add(file);
  find('[type=file]').files = files.files;
  find('[type=file]').dispatchEvent(new Event('change'));
  await until(() => !busy());
}

async function drop(file) {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(file);
  find('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer, cancelable: true}));
  await until(() => !busy());
}

async function film() {
  find('.result').hidden = true;
  find('.camera').click();
  await until(() => !find('.result').hidden);
  const seen = {status: status(), faces: faces()};
  find('.camera').click();
  return seen;
}

async function check() {
  await until(() => !busy());
  if (status() !== 'Ready.') throw new Error('the page did not get ready');
  const result = {pictures: {}};
  const fetched = performance.getEntriesByType('resource').length;
  for (const [i, name] of PICTURES.entries()) {
    const file = new File([await (await fetch(name)).blob()], name);
    const started = performance.now();
    await (i % 2 ? drop : choose)(file);
    const milliseconds = performance.now() - started;
    result.pictures[name] = {status: status(), milliseconds, faces: faces()};
  }
  await drop(new File(['no picture'], 'note.txt'));
  result.broken = status();
  result.camera = await film();
  // the pictures above and nothing else: what the page itself asked for while it was used
  const entries = performance.getEntriesByType('resource').slice(fetched);
  result.requests = entries.map(({name}) => decodeURI(new URL(name).pathname).slice(1));
  return result;
}

const result = await check().catch(error => ({error: `${error.stack}`, status: status()}));
await fetch('result', {method: 'POST', body: JSON.stringify(result)});

// Bundles the libraries of the page into playground/web/static/vendor and says in vendored.json what they are.
// `make vendor` calls it in a folder with the packages of package-lock.json. Only who renews them needs Node.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as esbuild from 'esbuild';

const target = resolve(process.argv[2]);
const ENTRIES = ['lit-html.js', 'webawesome.js', 'vega-embed.js'];

// Built-in icons are data: URLs and a CDN's, which the policy refuses: both libraries read our files instead.
const icons = {
  name: 'icons',
  setup(build) {
    const files = new Set(readdirSync(join(target, 'icons')).map((name) => name.replace(/\.svg$/, '')));
    build.onLoad({ filter: /webawesome\/dist\/chunks\// }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const used = [...text.matchAll(/<wa-icon[^>]*?\sname="([a-z-]+)"/g)].map((match) => match[1]);
      const missing = used.filter((name) => !files.has(name));
      if (missing.length) return { errors: missing.map((name) => ({ text: `There is no icons/${name}.svg.` })) };
      const library = /\/\/ src\/components\/icon\/library\.(default|system)\.ts/.exec(text)?.[1];
      if (!library) return { contents: text };
      const resolver = '(name) => new URL(`icons/${name}.svg`, import.meta.url).href';
      return { contents: `export const library_${library}_default = { name: '${library}', resolver: ${resolver} };` };
    });
  },
};

const files = {}, packages = {};
for (const name of ENTRIES) {
  const outfile = join(target, name);
  const { metafile } = await esbuild.build({
    entryPoints: [name], outfile, bundle: true, minify: true, format: 'esm', target: 'es2022', charset: 'utf8',
    legalComments: 'none', metafile: true, plugins: [icons], logLevel: 'warning',
  });
  const inputs = Object.values(metafile.outputs)[0].inputs;
  const bundled = new Set(Object.keys(inputs).flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []));
  for (const found of bundled) {
    const { version, license } = JSON.parse(readFileSync(join('node_modules', found, 'package.json'), 'utf8'));
    packages[found] = { version, license };
  }
  files[name] = { packages: [...bundled].sort(), bytes: readFileSync(outfile).length, sha256: createHash('sha256').update(readFileSync(outfile)).digest('hex') };
}

const texts = new Map(); // a licence's text: the packages under it
for (const [name, { version, license }] of Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1))) {
  const place = (owner) => {
    const file = readdirSync(join('node_modules', owner)).find((entry) => /^licen[cs]e/i.test(entry));
    return file && join('node_modules', owner, file);
  };
  const file = place(name) ?? (/^vega-/.test(name) && place('vega')); // some of vega's parts leave out the text of the whole
  if (!file) throw new Error(`${name} has no licence text.`);
  const text = readFileSync(file, 'utf8').trim();
  texts.set(text, [...(texts.get(text) ?? []), `${name} ${version} (${license})`]);
}
const licences = [...texts].map(([text, names]) => `${names.join('\n')}\n\n${text}\n`);
writeFileSync(join(target, 'LICENSES.txt'), licences.join(`\n${'-'.repeat(80)}\n\n`));
const sorted = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(join(target, 'vendored.json'), `${JSON.stringify({ packages: sorted, files }, null, 1)}\n`);

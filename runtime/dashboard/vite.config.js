// How the bundle is made: three files with fixed names, the same bytes for the same source.

import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

/** The licences of what is bundled travel with it. */
const licences = {
  name: "licences",
  generateBundle() {
    const source = ["preact", "@preact/signals", "@preact/signals-core"]
      .map((name) => {
        const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
        return `${name} ${version}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
      })
      .join("\n\n");
    this.emitFile({ type: "asset", fileName: "licences.txt", source });
  },
};

/** All files together, in bytes: the page is in the binary, and comes over links that are slow. */
const MOST = 250_000;

/** Refuses a bundle that is too large. */
const bound = {
  name: "bound",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      const size = Object.values(bundle).reduce(
        (sum, file) => sum + Buffer.byteLength(file.type === "chunk" ? file.code : file.source),
        0,
      );
      if (size > MOST) this.error(`the bundle has ${size} bytes; it may have ${MOST}`);
    },
  },
};

export default defineConfig({
  base: "./",
  plugins: [licences, bound],
  // Calls that name no children are shorter, by nine of two hundred kilobytes.
  oxc: {
    jsx: { runtime: "classic", pragma: "h", pragmaFrag: "Fragment" },
    jsxInject: `import { h, Fragment } from "preact"`,
  },
  build: {
    target: "es2022",
    cssTarget: "esnext",
    modulePreload: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        codeSplitting: false,
        entryFileNames: "tidegate.js",
        assetFileNames: "tidegate[extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:5559" } },
});

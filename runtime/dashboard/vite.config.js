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

export default defineConfig({
  base: "./",
  plugins: [licences],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
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

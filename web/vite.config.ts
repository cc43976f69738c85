import { defineConfig, type Plugin } from "vite";

/**
 * Puts the one script and the one style into the page, so that it is a single file.
 * The server hashes what stands between the tags for its Content-Security-Policy.
 */
function oneFile(): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_options, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset") return;
      let html = String(page.source);
      let style = "";
      let script = "";
      for (const [name, item] of Object.entries(bundle)) {
        if (item === page) continue;
        if (item.type === "chunk" && script === "") script = item.code.trim();
        else if (item.type === "asset" && name.endsWith(".css") && style === "") style = String(item.source).trim();
        else throw new Error(`${name}: the page holds one script and one style only`);
        delete bundle[name];
      }
      if (/<\/script|<!--/i.test(script)) throw new Error("the script would end its own element");
      if (/<\/style/i.test(style)) throw new Error("the style would end its own element");
      html = html.replace(/\s*<script\b[^>]*\bsrc=[^>]*><\/script>/, "");
      html = html.replace(/\s*<link\b[^>]*rel="stylesheet"[^>]*>/, "");
      html = html.replace(/\n\s+/g, "\n").trim() + "\n";
      // Replacements are functions: a `$` in code is no pattern.
      html = html.replace(/\s*<\/head>/, () => `\n<style>${style}</style>\n</head>`);
      html = html.replace(/\s*<\/body>/, () => `\n<script type="module">${script}</script>\n</body>`);
      page.source = html;
    },
  };
}

export default defineConfig({
  base: "./",
  build: {
    target: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  plugins: [oneFile()],
  // `npx vite` while designing: the API comes from a running `lockstep serve`.
  server: {
    host: "127.0.0.1",
    proxy: { "/v1": process.env["LOCKSTEP_URL"] ?? "http://127.0.0.1:8080" },
  },
});

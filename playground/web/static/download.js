// Saves text that the page has as a file.
export function download(name, text, kind) {
  const link = document.createElement('a'), url = URL.createObjectURL(new Blob([text], { type: kind }));
  link.href = url; link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

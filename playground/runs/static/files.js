// The files of a run, for whoever has its link: plain links, so that they can be saved, copied and sent.
(() => {
  const P = window.Playground;
  const FORMS = [
    ['html', 'HTML', 'One page that opens without a network.'],
    ['json', 'JSON', 'Everything that is stored, with a schema.'],
    ['csv', 'CSV', 'One tidy table.'],
    ['png', 'PNG', 'A picture of the verdict, for a chat.'],
    ['md', 'Card', 'A section of a model card, with the hub’s model-index.'],
  ];
  P.runFiles = (id) => {
    const box = P.el('span', 'run-files');
    box.setAttribute('role', 'group'); box.setAttribute('aria-label', 'Take it away');
    for (const [ending, words, tip] of FORMS) {
      const link = P.el('a', 'ui-small', words);
      link.href = `./run/${encodeURIComponent(id)}.${ending}`; link.download = ''; link.dataset.tip = tip;
      box.append(link);
    }
    return box;
  };
})();

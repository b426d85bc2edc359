export { default } from 'vega-embed';

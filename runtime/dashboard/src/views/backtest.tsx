// Backtest: what a rule would have done with the events of the past.

export function Backtest() {
  return (
    <section class="panel" aria-labelledby="backtest-title">
      <div class="panel-head">
        <h2 id="backtest-title">Backtest</h2>
      </div>
      <p class="quiet pad">
        From a shell: <code>tidegate backtest</code>
      </p>
    </section>
  );
}

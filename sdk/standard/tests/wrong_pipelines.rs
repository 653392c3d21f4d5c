//! Pipelines that are wrong: what is said, and that it names the place.

use standard::plan::Plan;
use tidegate_testkit::{Expect, expect};

fn wrong(pipeline: &str, expected: Expect) {
    let said = match Plan::read(pipeline) {
        Ok(_) => "it is taken".to_owned(),
        Err(said) => said,
    };
    expected.assert_eq(&format!("{said}\n"));
}

#[test]
fn a_pipeline_has_stages() {
    wrong(
        "",
        expect![[r#"
        pipeline: `stage` is missing: write each stage as a table under [[stage]]
    "#]],
    );
    wrong(
        "stage = 5",
        expect![[r#"
        stage: a list of stages was expected, found 5
    "#]],
    );
    wrong(
        "{\"stage\": [",
        expect![[r#"
        it is not JSON: EOF while parsing a list at line 1 column 11
    "#]],
    );
    wrong(
        "[[stage]]\nover 5",
        expect![[r#"
        it is not TOML: expected an equals, found an identifier at line 2 column 6
    "#]],
    );
    wrong(
        "semantics = 'storm'\nstage = []",
        expect![[r#"
        pipeline.semantics: "tidegate" or "riemann" was expected, found "storm"
    "#]],
    );
}

#[test]
fn a_table_is_one_stage() {
    wrong(
        "[[stage]]",
        expect![[r#"
            stage[1]: a stage was expected, found an empty table; stages are where, match, tagged, tagged-any, expired, not-expired, over, under, smap, smap*, smapcat, sflatten, sreduce, with, default, adjust, scale, tag, untag, each, split, splitp, by, dual, moving-event-window, fixed-event-window, moving-time-window, fixed-time-window, batch, coalesce, project, fold-interval, rate, percentiles, counter, ddt, ewma-timeless, ewma, top, apdex, predict-linear, clock-skew, sum-over-time, mean-over-time, fill-in, fill-in-last, interpolate-constant, changed, changed-state, stable, runs, throttle, rollup, parse, to, emit, log, next
        "#]],
    );
    wrong(
        "[[stage]]\nover = 5\nunder = 3",
        expect![[r#"
        stage[1]: one stage was expected, found two, `over` and `under`: give each a table
    "#]],
    );
    wrong(
        "[[stage]]\novr = 5",
        expect![[r#"
            stage[1]: a stage was expected, found ovr: did you mean `over`?
        "#]],
    );
    wrong(
        "[[stage]]\nover = 5\n[[stage]]\nunder = 3\nelse = []",
        expect![[r#"
        stage[2]: `else` means nothing here, beside under
    "#]],
    );
}

#[test]
fn what_a_stage_is_told_fits() {
    wrong(
        "[[stage]]\nover = 'high'",
        expect![[r#"
        stage[1].over: a number was expected, found "high"
    "#]],
    );
    wrong(
        "[[stage]]\nrate = '10 parsecs'",
        expect![[r#"
            stage[1].rate: a length of time was expected, like "90s", "5m" or a number of seconds, found "10 parsecs"
        "#]],
    );
    wrong(
        "[[stage]]\nrate = -5",
        expect![[r#"
            stage[1].rate: a length of time was expected, like "90s", "5m" or a number of seconds, found -5
        "#]],
    );
    wrong(
        "[[stage]]\nrate = 0",
        expect![[r#"
        stage[1].rate: a length of time above zero was expected, found none
    "#]],
    );
    wrong(
        "[[stage]]\nrate = nan",
        expect![[r#"
        stage[1].rate: a length of time above zero was expected, found none
    "#]],
    );
    wrong(
        "[[stage]]\nbatch = 3",
        expect![[r#"
        stage[1]: `every` is missing: a length of time, like "5s"
    "#]],
    );
    wrong(
        "[[stage]]\nfixed-event-window = -1",
        expect![[r#"
        stage[1].fixed-event-window: a whole number from 0 on was expected, found -1
    "#]],
    );
    wrong(
        "[[stage]]\npredict-linear = 1\nahead = 5",
        expect![[r#"
        stage[1].predict-linear: a whole number from 2 on was expected, found 1
    "#]],
    );
    wrong(
        "[[stage]]\newma-timeless = 2",
        expect![[r#"
        stage[1].ewma-timeless: a weight from 0 to 1 was expected, found 2
    "#]],
    );
    wrong(
        "[[stage]]\npercentiles = [50]\nevery = 5",
        expect![[r#"
        stage[1].percentiles: a part between 0 and 1 was expected, found 50
    "#]],
    );
    wrong(
        "[[stage]]\nbatch = 3\nevery = 5\nalign = 'noon'",
        expect![[r#"
        stage[1].align: "epoch", "first" or "start" was expected, found "noon"
    "#]],
    );
}

#[test]
fn predicates_and_functions_are_pointed_at() {
    wrong(
        "[[stage]]\nwhere = 'metric >'",
        expect![[r#"
        stage[1].where: a number after `>` was expected, found the end
          metric >
                  ^
          help: the number goes on the right; text and fields are compared with `=` and `!=`
    "#]],
    );
    wrong(
        "[[stage]]\nwhere = { field = 'metric', above = 5 }",
        expect![[r#"
        stage[1].where.above: a test was expected (equals, in, regex, lt, gt, le, ge, present, truthy, even), found `above`
    "#]],
    );
    wrong(
        "[[stage]]\nwhere = { and = ['metric > 5', { tagd = 'x' }] }",
        expect![[r#"
        stage[1].where.and: a predicate was expected (a query, or a table with and, or, not, const, truthy, expired, equals, tagged_all, tagged_any, or `field` and a test), found `tagd`
    "#]],
    );
    wrong(
        "[[stage]]\nwhere = { field = 'host', regex = '[a' }",
        expect![[r#"
        stage[1].where.regex: a regular expression was expected: non-empty character class has no closing bracket
    "#]],
    );
    wrong(
        "[[stage]]\nwhere = { field = 'host', f = 'host', equals = 'a' }",
        expect![[r#"
        stage[1].where: either `field` or `f` was expected, found both
    "#]],
    );
    wrong(
        "[[stage]]\nsmap = { double = 2 }",
        expect![[r#"
        stage[1].smap: a function was expected (a field's name, or one of identity, const, field, add, multiply, duplicate, append, count_into, fold), found `double`
    "#]],
    );
    wrong(
        "[[stage]]\nsmap = { fold = 'average' }",
        expect![[r#"
        stage[1].smap: a fold was expected, one of sum, product, difference, quotient, each also strict with a star behind, quotient-sloppy, mean, median, mode, modes, minimum, maximum, std-dev, count, extremum, non-nil-metrics, sorted-sample, sorted-sample-extract; found `average`
    "#]],
    );
    wrong(
        "[[stage]]\nsmap = { fold = 'extremum' }",
        expect![[r#"
        stage[1].smap: `comparison` was expected, one of <, <=, >, >=
    "#]],
    );
    wrong(
        "[[stage]]\nsreduce = { add = 1 }",
        expect![[r#"
        stage[1].sreduce: "+", "max-metric" or a fold that gives one event was expected, found a table
    "#]],
    );
    // A list of lists that grows with each event.
    wrong(
        "[[stage]]\nsreduce = { fold = 'modes' }",
        expect![[r#"
        stage[1].sreduce: "+", "max-metric" or a fold that gives one event was expected, found a table
    "#]],
    );
    assert!(Plan::read("[[stage]]\nsmap = { fold = 'sum*' }").is_ok());
    for stars in [1, 2, 1_000_000] {
        let fold = if stars == 1 { "mean*".to_owned() } else { format!("sum{}", "*".repeat(stars)) };
        let said = Plan::read(&format!("[[stage]]\nsmap = {{ fold = '{fold}' }}")).unwrap_err();
        assert!(said.ends_with(&format!("found `{fold}`")), "{}", &said[..200]);
    }
}

#[test]
fn branches_are_pointed_at_by_number() {
    wrong(
        "[[stage]]\nsplit = [{ where = 'true', then = [{ over = 1 }, { over = 'x' }] }]",
        expect![[r#"
        stage[1].split[1].then[2].over: a number was expected, found "x"
    "#]],
    );
    wrong(
        "[[stage]]\nsplitp = '~'\nclauses = []",
        expect![[r#"
        stage[1].splitp: one of <, <=, >, >=, =, != was expected, found "~"
    "#]],
    );
    wrong(
        "[[stage]]\nsplitp = '<'\nclauses = [{ then = [] }]",
        expect![[r#"
        stage[1].splitp[1]: `value` is missing: what the event's is held against
    "#]],
    );
    wrong(
        "[[stage]]\neach = [[{ next = true }, { over = 1 }]]",
        expect![[r#"
        stage[1].each[1][1].next: it stands last in a branch, found more behind it
    "#]],
    );
    wrong(
        "[[stage]]\neach = [[{ next = 2 }]]",
        expect![[r#"
        stage[1].each[1][1].next: true, or how many branches to leave, was expected; found 2
    "#]],
    );
}

#[test]
fn a_pipeline_is_neither_too_deep_nor_too_long() {
    let deep = format!("{{\"stage\": [{}{}]}}", "{\"each\": [[".repeat(40), "]]}".repeat(40));
    wrong(
        &deep,
        expect![[r#"
        stage[1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1][1].each[1]: stages may be nested 32 deep, found more
    "#]],
    );
    let long = format!("{{\"stage\": [{}]}}", vec!["{\"over\": 1}"; 1_001].join(","));
    wrong(
        &long,
        expect![[r#"
        stage[1].over: a pipeline has at most 1000 stages, found more
    "#]],
    );
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let lists = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let tables = |depth: usize| "{a=".repeat(depth) + "1" + &"}".repeat(depth);
    let dots = |depth: usize| vec!["a"; depth].join(".");
    for depth in [129, 100_000] {
        for toml in [
            format!("x = {}", lists(depth)),
            format!("x = {}", tables(depth)),
            format!("{} = 1", dots(depth + 1)),
            format!("[{}]", dots(depth + 1)),
            format!("x = {}{} = 1{}", "{ a.a = ".repeat(depth / 2), dots(2), "}".repeat(depth / 2)),
        ] {
            let said = Plan::read(&toml).unwrap_err();
            assert_eq!(said, "it is nested more than 128 deep", "{}", &toml[..40]);
        }
    }
    // Brackets and dots in text and comments are not nested, and neither is what stands side by side.
    let much = "[{.".repeat(200);
    let beside = "{ where = 'metric > 1.5', then = [{ over = 0.5 }] }, ".repeat(200);
    let fine = format!(
        "# {much}\n[[stage]] # {much}\nwith = {{ a = '{much}', b = \"\\\"{much}\", c = \"\"\"\n\"{much}\\\"\"\"\", d = '''\n{much}'''' }}\n\
         [[stage]]\nsplit = [{beside}]\n"
    );
    assert_eq!(Plan::read(&fine).map(|plan| plan.nodes.len()), Ok(202));
}

#[test]
fn what_is_remembered_is_no_deeper_than_can_be_saved() {
    let window = "[[stage]]\nmoving-event-window = 2\n";
    assert!(Plan::read(&window.repeat(16)).is_ok());
    wrong(
        &window.repeat(17),
        expect![[r#"
            stage[1].moving-event-window: at most 16 stages that make lists may follow each other, found more
        "#]],
    );
    let value = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Plan::read(&format!("[[stage]]\nwith = {{ x = {} }}", value(16))).is_ok());
    wrong(
        &format!("[[stage]]\nwith = {{ x = {} }}", value(17)),
        expect![[r#"
            stage[1].with.x: a value at most 16 deep was expected, found 17
        "#]],
    );
}

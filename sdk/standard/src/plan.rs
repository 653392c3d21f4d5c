//! A pipeline's tree becomes a graph of stages: who passes on to whom, which stages a `by` copies for each of its keys, and
//! what each stage is told. Everything that can be wrong with a pipeline is found here, with the place where it stands.

use crate::func::{Func, read_points};
use crate::keep::{From, Recipe, Reduce};
use crate::map::Map;
use crate::pred::{Pred, Test};
use crate::tree::{Table, Tree, constant, count, number, span, texts};
use crate::value::{Name, Value};
use tidegate_sdk::{Level, Metric, Span};

/// A stage's number.
pub type NodeId = usize;
/// The number of a `by`, whose forks each have their own memory; 0 is what no `by` copies.
pub type ForkId = usize;

/// Stages may be nested so deep.
const DEPTH: usize = 32;
/// A pipeline has at most so many stages.
const STAGES: usize = 1_000;

/// So many stages that make lists may follow each other. With `tree::VALUE_DEPTH` that keeps what is remembered from being
/// nested deeper than can be saved.
const LISTS: usize = 16;

/// Where the branches of a stage stand.
pub const BRANCHES: &[&str] = &["each", "split", "clauses", "then", "else", "bottom"];

/// A pipeline, ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: Vec<Node>,
    pub entry: Option<NodeId>,
    /// For each `by`: the one around it, and its stages with memory.
    pub forks: Vec<Fork>,
    /// The names of outputs, in the order in which they were first met.
    pub outputs: Vec<String>,
    /// What it was made from.
    pub id: u64,
}

/// The part of a pipeline that one `by` copies.
#[derive(Clone, Debug, Default)]
pub struct Fork {
    pub within: ForkId,
    pub nodes: Vec<NodeId>,
    /// A copy is let go when nothing came to it for so long.
    pub idle: Option<Span>,
}

/// A stage in its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    /// Where it passes on to: 0 is the next stage, the others are the branches.
    pub ports: Vec<Option<NodeId>>,
    pub fork: ForkId,
    /// Which of its fork's memories is its own.
    pub memory: usize,
    /// The same for a stage that is written the same, wherever it stands: under this its memory survives a new pipeline.
    pub id: u64,
    /// Where it stands.
    pub at: String,
}

/// What a stage does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// To the next stage, or to the branch `else`.
    Where(Pred),
    /// To the branch of the first that holds, or to the last one.
    Split(Vec<Pred>),
    /// The same by what a function makes of it; without a default, what fits nowhere is an error.
    Splitp {
        f: Func,
        tests: Vec<Test>,
        wants_number: bool,
        default: bool,
    },
    /// To each branch.
    Each,
    /// To one branch, with a stub to the other.
    Dual(Pred),
    By(By),
    Map(Map),
    Keep(Box<Recipe>),
    To {
        output: usize,
        json: bool,
    },
    Emit,
    Log(Level),
}

impl Kind {
    /// By how many lists what it passes on is deeper than what came.
    fn lists(&self) -> usize {
        match self {
            Self::Keep(recipe) => recipe.lists(),
            Self::Map(Map::Smap { f: Func::Duplicate(_), .. } | Map::Adjust(_, Func::Duplicate(_))) => 1,
            _ => 0,
        }
    }
}

/// A split by key.
#[derive(Clone, Debug)]
pub struct By {
    pub fields: Vec<Func>,
    /// What it opens.
    pub opens: ForkId,
    pub limit: usize,
}

/// Riemann's name of each stage.
pub const STAGES_BY_NAME: &[&str] = &[
    "where",
    "match",
    "tagged",
    "tagged-any",
    "expired",
    "not-expired",
    "over",
    "under",
    "smap",
    "smap*",
    "smapcat",
    "sflatten",
    "sreduce",
    "with",
    "default",
    "adjust",
    "scale",
    "tag",
    "untag",
    "each",
    "split",
    "splitp",
    "by",
    "dual",
    "moving-event-window",
    "fixed-event-window",
    "moving-time-window",
    "fixed-time-window",
    "batch",
    "coalesce",
    "project",
    "fold-interval",
    "rate",
    "percentiles",
    "counter",
    "ddt",
    "ewma-timeless",
    "ewma",
    "top",
    "apdex",
    "predict-linear",
    "clock-skew",
    "sum-over-time",
    "mean-over-time",
    "fill-in",
    "fill-in-last",
    "interpolate-constant",
    "changed",
    "changed-state",
    "stable",
    "runs",
    "throttle",
    "rollup",
    "parse",
    "to",
    "emit",
    "log",
    "next",
];

impl Plan {
    /// Reads a pipeline.
    pub fn read(text: &str) -> Result<Self, String> {
        Self::of(&Tree::parse(text)?)
    }

    /// Makes a plan of a pipeline that was parsed.
    pub fn of(tree: &Tree) -> Result<Self, String> {
        let top = Table::new("pipeline".to_owned(), tree)?;
        let stages = match top.get("stage").or_else(|| top.get("stages")) {
            Some(stages) => stages,
            None => {
                return Err(
                    "pipeline: `stage` is missing: write each stage as a table under [[stage]]".to_owned()
                );
            }
        };
        let riemann = match top.text("semantics")? {
            None | Some("tidegate") => false,
            Some("riemann") => true,
            Some(other) => {
                return Err(format!(
                    "pipeline.semantics: \"tidegate\" or \"riemann\" was expected, found {other:?}"
                ));
            }
        };
        top.finish()?;
        let mut builder = Builder {
            plan: Self {
                nodes: Vec::new(),
                entry: None,
                forks: vec![Fork::default()],
                outputs: Vec::new(),
                id: 0,
            },
            riemann,
            afters: Vec::new(),
            lists: Vec::new(),
        };
        builder.plan.entry = builder.list(stages, "stage", 0, None)?;
        let mut plan = builder.plan;
        plan.name_stages();
        Ok(plan)
    }

    /// Gives each stage its id: from what is written, and how many like it stand before it.
    fn name_stages(&mut self) {
        let mut seen = std::collections::BTreeMap::<u64, u64>::new();
        let mut all = Vec::new();
        // Stages were made from the last to the first; count in the order in which they are read.
        for node in self.nodes.iter_mut().rev() {
            let times = seen.entry(node.id).or_default();
            node.id = tidegate_sdk::hash_bytes(*times, &node.id.to_le_bytes());
            *times += 1;
            all.extend(node.id.to_le_bytes());
            all.extend((node.fork as u64).to_le_bytes());
        }
        self.id = tidegate_sdk::hash_bytes(1, &all);
    }
}

struct Builder {
    plan: Plan,
    riemann: bool,
    /// For each list around, what comes behind the stage that it is a branch of.
    afters: Vec<Option<NodeId>>,
    /// For each node, how many stages that make lists follow each other from there on.
    lists: Vec<usize>,
}

impl Builder {
    /// A list of stages, each of which passes on to the next. `after` is what `next = true` stands for within it.
    fn list(
        &mut self,
        tree: &Tree,
        at: &str,
        fork: ForkId,
        after: Option<NodeId>,
    ) -> Result<Option<NodeId>, String> {
        let one;
        let stages: &[Tree] = match tree {
            Tree::List(list) => list,
            Tree::Map(_) => {
                one = [tree.clone()];
                &one
            }
            other => return Err(format!("{at}: a list of stages was expected, found {}", other.kind())),
        };
        self.afters.push(after);
        if self.afters.len() > DEPTH {
            return Err(format!("{at}: stages may be nested {DEPTH} deep, found more"));
        }
        let mut forks = Vec::with_capacity(stages.len());
        let mut inside = fork;
        for stage in stages {
            let opens = matches!(stage, Tree::Map(map) if map.iter().any(|(name, _)| name == "by"));
            let before = inside;
            if opens {
                inside = self.plan.forks.len();
                self.plan.forks.push(Fork { within: before, ..Fork::default() });
            }
            forks.push((before, inside));
        }
        let mut next = None;
        for (number, stage) in stages.iter().enumerate().rev() {
            let at = format!("{at}[{}]", number + 1);
            let table = Table::new(at.clone(), stage)?;
            let mut names = table.keys().filter(|name| STAGES_BY_NAME.contains(name));
            let Some(name) = names.next() else {
                return Err(no_stage(&at, &table.keys().collect::<Vec<_>>()));
            };
            if let Some(other) = names.next() {
                return Err(format!(
                    "{at}: one stage was expected, found two, `{name}` and `{other}`: give each a table"
                ));
            }
            let place = format!("{at}.{name}");
            if name == "next" {
                if number + 1 != stages.len() {
                    return Err(format!("{place}: it stands last in a branch, found more behind it"));
                }
                let up = match table.get(name) {
                    Some(Tree::Flag(true)) => 1,
                    Some(tree) => count(tree, &place)?,
                    None => 0,
                };
                table.finish()?;
                let around = self.afters.len().checked_sub(up).filter(|around| up > 0 && *around > 0);
                let Some(around) = around else {
                    return Err(format!(
                        "{place}: true, or how many branches to leave, was expected; found {up}"
                    ));
                };
                next = self.afters[around];
                continue;
            }
            let (before, inside) = forks[number];
            let node = self.stage(name, &table, &place, before, inside, next)?;
            table.finish()?;
            self.plan.nodes[node].id = written(stage, u64::from(self.riemann));
            next = Some(node);
        }
        self.afters.pop();
        Ok(next)
    }

    /// For how long a fork is kept that hears nothing: long enough for what its stages hold back, and as long as the forks
    /// within it; for ever if one of those is.
    fn idle(&self, fork: ForkId) -> Option<Span> {
        let longest = |node: &NodeId| match &self.plan.nodes[*node].kind {
            Kind::Keep(recipe) => Span(recipe.span().0.saturating_mul(2)),
            _ => Span::ZERO,
        };
        let stages = self.plan.forks[fork].nodes.iter().map(longest).fold(Span::minutes(60), Span::max);
        let mut within = self.plan.forks.iter().filter(|inner| inner.within == fork);
        within.try_fold(stages, |longest, inner| Some(longest.max(inner.idle?)))
    }

    fn node(
        &mut self,
        kind: Kind,
        ports: Vec<Option<NodeId>>,
        fork: ForkId,
        at: &str,
    ) -> Result<NodeId, String> {
        let id = self.plan.nodes.len();
        if id >= STAGES {
            return Err(format!("{at}: a pipeline has at most {STAGES} stages, found more"));
        }
        let behind = ports.iter().flatten().map(|port| self.lists[*port]).max().unwrap_or(0);
        let lists = behind + kind.lists();
        if lists > LISTS {
            return Err(format!(
                "{at}: at most {LISTS} stages that make lists may follow each other, found more"
            ));
        }
        self.lists.push(lists);
        let mut memory = 0;
        if matches!(kind, Kind::Keep(_)) {
            let nodes = &mut self.plan.forks[fork].nodes;
            memory = nodes.len();
            nodes.push(id);
        }
        self.plan.nodes.push(Node { kind, ports, fork, memory, id: 0, at: at.to_owned() });
        Ok(id)
    }

    /// Where windows begin: as said, else as usual here, else as in Riemann.
    fn from(&self, table: &Table<'_>, usual: From, riemann: From) -> Result<From, String> {
        match table.text("align")? {
            None => Ok(if self.riemann { riemann } else { usual }),
            Some("epoch") => Ok(From::Epoch),
            Some("first") => Ok(From::First),
            Some("start") => Ok(From::Stage),
            Some(other) => Err(format!(
                "{}: \"epoch\", \"first\" or \"start\" was expected, found {other:?}",
                table.place("align")
            )),
        }
    }

    fn stage(
        &mut self,
        name: &str,
        table: &Table<'_>,
        at: &str,
        fork: ForkId,
        inside: ForkId,
        next: Option<NodeId>,
    ) -> Result<NodeId, String> {
        let argument = table.need(name, "")?;
        let mut ports = vec![next];
        let kind = match name {
            "where" | "match" | "tagged" | "tagged-any" => {
                let pred = match name {
                    "where" => Pred::read(argument, at)?,
                    "tagged" => Pred::TaggedAll(texts(argument, at)?),
                    "tagged-any" => Pred::TaggedAny(texts(argument, at)?),
                    _ => {
                        let f = Func::read(argument, at)?;
                        let value = table.need("value", "a value, or a table with one of regex, set, map")?;
                        Pred::Of(f, Test::pattern(value, &table.place("value"))?)
                    }
                };
                ports.push(self.branch(table, "else", fork, next)?);
                Kind::Where(pred)
            }
            "each" => {
                let Tree::List(branches) = argument else {
                    return table.wrong(name, "a list of lists of stages", argument);
                };
                for (number, branch) in branches.iter().enumerate() {
                    ports.push(self.list(branch, &format!("{at}[{}]", number + 1), fork, next)?);
                }
                Kind::Each
            }
            "split" | "splitp" => {
                let (kind, branches) = self.clauses(name, table, argument, at, fork, next)?;
                ports.extend(branches);
                ports.push(self.branch(table, "else", fork, next)?);
                kind
            }
            "dual" => {
                ports.push(self.branch(table, "then", fork, next)?);
                ports.push(self.branch(table, "else", fork, next)?);
                Kind::Dual(Pred::read(argument, at)?)
            }
            "by" => {
                let fields = match argument {
                    Tree::List(list) => {
                        list.iter().map(|tree| Func::read(tree, at)).collect::<Result<_, _>>()?
                    }
                    one => vec![Func::read(one, at)?],
                };
                let idle = match table.get("idle") {
                    Some(Tree::Text(never)) if never == "never" => None,
                    Some(tree) => Some(span(tree, &table.place("idle"))?),
                    None if self.riemann => None,
                    None => self.idle(inside),
                };
                let limit = table.count("forks")?.unwrap_or(10_000).clamp(1, 1_000_000);
                self.plan.forks[inside].idle = idle;
                Kind::By(By { fields, opens: inside, limit })
            }
            "to" => {
                let Tree::Text(output) = argument else {
                    return table.wrong(name, "the name of an output", argument);
                };
                let json = match table.text("as")? {
                    None | Some("event") => false,
                    Some("json") => true,
                    Some(other) => {
                        return Err(format!(
                            "{}: \"event\" or \"json\" was expected, found {other:?}",
                            table.place("as")
                        ));
                    }
                };
                let known = self.plan.outputs.iter().position(|other| other == output);
                let output = known.unwrap_or_else(|| {
                    self.plan.outputs.push(output.clone());
                    self.plan.outputs.len() - 1
                });
                Kind::To { output, json }
            }
            "emit" => Kind::Emit,
            "log" => Kind::Log(match argument {
                Tree::Text(level) => match level.as_str() {
                    "error" => Level::Error,
                    "warning" => Level::Warning,
                    "info" => Level::Info,
                    "debug" => Level::Debug,
                    _ => return table.wrong(name, "error, warning, info or debug", argument),
                },
                _ => return table.wrong(name, "error, warning, info or debug", argument),
            }),
            "top" => {
                let f = self.func(table, "f", "metric")?;
                let bottom = self.branch(table, "bottom", fork, next)?;
                let demote = table.flag("demote")?.unwrap_or(bottom.is_some());
                ports.push(bottom);
                Kind::Keep(Box::new(Recipe::Top { k: count(argument, at)?, f, demote }))
            }
            _ => match self.map(name, table, argument, at)? {
                Some(map) => Kind::Map(map),
                None => Kind::Keep(Box::new(self.recipe(name, table, argument, at)?)),
            },
        };
        self.node(kind, ports, fork, at)
    }

    fn branch(
        &mut self,
        table: &Table<'_>,
        name: &str,
        fork: ForkId,
        after: Option<NodeId>,
    ) -> Result<Option<NodeId>, String> {
        match table.get(name) {
            Some(tree) => self.list(tree, &table.place(name), fork, after),
            None => Ok(None),
        }
    }

    /// The clauses of `split`, each a table with `where` and `then`; of `splitp`, with `value` and `then`.
    fn clauses(
        &mut self,
        name: &str,
        table: &Table<'_>,
        argument: &Tree,
        at: &str,
        fork: ForkId,
        next: Option<NodeId>,
    ) -> Result<(Kind, Vec<Option<NodeId>>), String> {
        let (of, list) = if name == "splitp" {
            let Tree::Text(op) = argument else {
                return table.wrong(
                    name,
                    "how the value of a clause stands to that of the event, like \"<=\",",
                    argument,
                );
            };
            // What holds of a clause's value and the event's holds of them the other way round.
            let turned = match op.as_str() {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                "=" => "=",
                "!=" => "!=",
                _ => return table.wrong(name, "one of <, <=, >, >=, =, !=", argument),
            };
            let f = self.func(table, "f", "metric")?;
            (Some((turned, f)), table.need("clauses", "a list of tables with `value` and `then`")?)
        } else {
            (None, argument)
        };
        let Tree::List(clauses) = list else {
            return Err(format!("{at}: a list of clauses was expected, found {}", list.kind()));
        };
        let (mut preds, mut tests, mut branches) = (Vec::new(), Vec::new(), Vec::new());
        for (number, clause) in clauses.iter().enumerate() {
            let clause = Table::new(format!("{at}[{}]", number + 1), clause)?;
            match &of {
                None => preds.push(Pred::read(clause.need("where", "a predicate")?, &clause.place("where"))?),
                Some((op, _)) => {
                    let value = clause.need("value", "what the event's is held against")?;
                    tests.push(match (*op, value) {
                        ("=", value) => Test::Equals(value.into()),
                        ("!=", value) => Test::Differs(value.into()),
                        (">", value) => Test::More(number_of(value, &clause)?),
                        (">=", value) => Test::AtLeast(number_of(value, &clause)?),
                        ("<", value) => Test::Less(number_of(value, &clause)?),
                        (_, value) => Test::AtMost(number_of(value, &clause)?),
                    });
                }
            }
            branches.push(self.branch(&clause, "then", fork, next)?);
            clause.finish()?;
        }
        let kind = match of {
            None => Kind::Split(preds),
            Some((op, f)) => {
                // As in Riemann, where comparing what is no number is an error. Here it fits no clause.
                let wants_number = self.riemann && !matches!(op, "=" | "!=");
                let default = table.keys().any(|name| name == "else");
                Kind::Splitp { f, tests, wants_number, default }
            }
        };
        Ok((kind, branches))
    }

    fn func(&self, table: &Table<'_>, name: &str, usual: &str) -> Result<Func, String> {
        match table.get(name) {
            Some(tree) => Func::read(tree, &table.place(name)),
            None => Ok(Func::Field(Name::of(usual))),
        }
    }

    fn fields(tree: &Tree, at: &str) -> Result<Vec<(Name, Value)>, String> {
        match tree {
            Tree::Map(map) => {
                let field = |(name, value): &(String, Tree)| {
                    Ok((Name::of(name), constant(value, &format!("{at}.{name}"))?))
                };
                map.iter().map(field).collect()
            }
            other => Err(format!("{at}: a table of fields was expected, found {}", other.kind())),
        }
    }

    /// Stages without memory.
    fn map(&self, name: &str, table: &Table<'_>, argument: &Tree, at: &str) -> Result<Option<Map>, String> {
        let yes = || match argument {
            Tree::Flag(true) => Ok(()),
            other => table.wrong(name, "true", other),
        };
        Ok(Some(match name {
            "over" => Map::Over(number(argument, at)?),
            "under" => Map::Under(number(argument, at)?),
            "expired" => {
                yes()?;
                Map::Expired(true)
            }
            "not-expired" => {
                yes()?;
                Map::Expired(false)
            }
            "smap" => Map::Smap { f: Func::read(argument, at)?, null: false },
            "smap*" => Map::Smap { f: Func::read(argument, at)?, null: true },
            "smapcat" => Map::Smapcat(Func::read(argument, at)?),
            "sflatten" => {
                yes()?;
                Map::Flatten
            }
            "with" => {
                let mut fields = Self::fields(argument, at)?;
                if let Some(without) = table.get("without") {
                    let without = texts(without, &table.place("without"))?;
                    fields.extend(without.iter().map(|name| (Name::of(name), Value::Null)));
                }
                Map::With(fields)
            }
            "default" => Map::Default(Self::fields(argument, at)?),
            "adjust" => match argument {
                Tree::Text(field) => {
                    let f =
                        Func::read(table.need("f", "a function of the field's value")?, &table.place("f"))?;
                    Map::Adjust(Name::of(field), f)
                }
                function => Map::Smap { f: Func::read(function, at)?, null: false },
            },
            "scale" => Map::Scale(number(argument, at)?),
            "tag" => Map::Tag(texts(argument, at)?),
            "untag" => Map::Untag(texts(argument, at)?),
            "parse" => match argument {
                Tree::Text(name) => Map::Parse(Name::of(name)),
                other => return table.wrong(name, "the name of an attribute", other),
            },
            _ => return Ok(None),
        }))
    }

    /// Stages with memory.
    fn recipe(&self, name: &str, table: &Table<'_>, argument: &Tree, at: &str) -> Result<Recipe, String> {
        let riemann = self.riemann;
        let long = |what: Option<Span>, name: &str| {
            let span = what
                .ok_or_else(|| format!("{}: `{name}` is missing: a length of time, like \"5s\"", table.at))?;
            if span.0 > 0 {
                Ok(span)
            } else {
                Err(format!("{}: a length of time above zero was expected, found none", table.place(name)))
            }
        };
        let every = || long(table.span("every")?, "every");
        let as_span = || long(Some(span(argument, at)?), name);
        let as_count = || count(argument, at);
        let small = || as_count().map(|n| n.min(u32::MAX as usize) as u32);
        let from = |usual, like_riemann| self.from(table, usual, like_riemann);
        let init = || table.get("init").map(|tree| constant(tree, &table.place("init"))).transpose();
        Ok(match name {
            "sreduce" => {
                let f = match argument {
                    Tree::Map(map) => match &map[..] {
                        [(kind, Tree::Text(f))] if kind == "reduce" && f == "+" => Reduce::Plus,
                        [(kind, Tree::Text(f))] if kind == "event_reduce" && f == "max-metric" => {
                            Reduce::MaxMetric
                        }
                        _ => match Func::read(argument, at)? {
                            // A list of lists would grow with each event.
                            Func::Fold(fold) if !fold.gives_list() => Reduce::Fold(fold),
                            _ => {
                                let expected = "\"+\", \"max-metric\" or a fold that gives one event";
                                return table.wrong(name, expected, argument);
                            }
                        },
                    },
                    Tree::Text(f) if f == "+" => Reduce::Plus,
                    Tree::Text(f) if f == "max-metric" => Reduce::MaxMetric,
                    other => return table.wrong(name, "\"+\", \"max-metric\" or a fold", other),
                };
                Recipe::Reduce { f, init: init()? }
            }
            "counter" => Recipe::Counter(match argument {
                Tree::Int(init) => Metric::Int(*init),
                Tree::Flag(true) => Metric::Int(0),
                other => Metric::Float(number(other, at)?),
            }),
            "moving-event-window" => Recipe::LastN(as_count()?),
            "fixed-event-window" => Recipe::EveryN(as_count()?),
            "moving-time-window" => Recipe::MovingTime { span: span(argument, at)?, riemann },
            "fixed-time-window" => {
                Recipe::FixedTime { every: as_span()?, from: from(From::Epoch, From::First)?, riemann }
            }
            "batch" => Recipe::Batch {
                n: as_count()?,
                every: every()?,
                from: from(From::First, From::Stage)?,
                edges: table.flag("edges")?.unwrap_or(false),
            },
            "coalesce" => {
                Recipe::Coalesce { every: as_span()?, from: from(From::First, From::First)?, riemann }
            }
            "project" => match argument {
                Tree::List(list) => {
                    Recipe::Project(list.iter().map(|tree| Pred::read(tree, at)).collect::<Result<_, _>>()?)
                }
                other => return table.wrong(name, "a list of predicates", other),
            },
            "fold-interval" => Recipe::FoldInterval {
                every: as_span()?,
                from: from(From::Epoch, From::First)?,
                field: Name::of(table.text("field")?.unwrap_or("metric")),
                f: Func::read(table.need("f", "a fold, like { fold = \"sum\" }")?, &table.place("f"))?,
                empty: table.flag("empty")?.unwrap_or(riemann),
            },
            "rate" => Recipe::Rate { every: as_span()?, from: from(From::Epoch, From::First)?, riemann },
            "percentiles" => Recipe::Percentiles {
                every: every()?,
                from: from(From::Epoch, From::First)?,
                points: read_points(argument, at)?,
            },
            "ddt" => match argument {
                Tree::Flag(true) => Recipe::Slope,
                _ => Recipe::SlopeEvery { every: as_span()?, from: from(From::Epoch, From::First)?, riemann },
            },
            "ewma-timeless" => {
                let r = number(argument, at)?;
                if !(0.0..=1.0).contains(&r) {
                    return table.wrong(name, "a weight from 0 to 1", argument);
                }
                Recipe::EwmaTimeless { r, zero: riemann }
            }
            "ewma" => Recipe::Ewma { half_life: as_span()?.secs_f64(), zero: riemann },
            "apdex" => Recipe::Apdex {
                every: as_span()?,
                from: from(From::Epoch, From::Stage)?,
                satisfied: Pred::read(table.need("satisfied", "a predicate")?, &table.place("satisfied"))?,
                tolerated: Pred::read(table.need("tolerated", "a predicate")?, &table.place("tolerated"))?,
            },
            "predict-linear" => Recipe::Predict {
                n: match as_count()? {
                    0 | 1 => return table.wrong(name, "a whole number from 2 on", argument),
                    n => n,
                },
                ahead: table
                    .span("ahead")?
                    .ok_or_else(|| format!("{}: `ahead` is missing: how far", table.at))?,
                reuse: table.span("reuse")?.unwrap_or(Span::ZERO),
            },
            "clock-skew" => Recipe::ClockSkew,
            "fill-in" => Recipe::FillIn {
                every: as_span()?,
                event: constant(table.need("event", "a table of fields")?, &table.place("event"))?,
                at_once: riemann,
            },
            "fill-in-last" => Recipe::FillInLast {
                every: as_span()?,
                f: table.get("f").map(|tree| Func::read(tree, &table.place("f"))).transpose()?,
                set: table
                    .get("set")
                    .map_or(Ok(Vec::new()), |tree| Self::fields(tree, &table.place("set")))?,
            },
            "interpolate-constant" => Recipe::Interpolate { every: as_span()? },
            "changed" => Recipe::Changed {
                f: Func::read(argument, at)?,
                init: init()?.unwrap_or_default(),
                pairs: table.flag("pairs")?.unwrap_or(false),
            },
            "changed-state" => Recipe::ChangedState { init: init()?.unwrap_or_default() },
            "stable" => {
                Recipe::Stable { hold: span(argument, at)?, f: self.func(table, "f", "state")?, riemann }
            }
            "runs" => Recipe::Runs { n: small()?, f: self.func(table, "field", "state")? },
            "throttle" => {
                Recipe::Throttle { n: small()?, every: every()?, from: from(From::First, From::Stage)? }
            }
            "rollup" => {
                Recipe::Rollup { n: small()?, every: every()?, from: from(From::First, From::Stage)? }
            }
            "sum-over-time" => Recipe::Sum,
            "mean-over-time" => Recipe::Mean,
            other => return Err(format!("{at}: `{other}` is no stage")),
        })
    }
}

/// What a stage says of itself, as a number: all but its branches.
fn written(stage: &Tree, seed: u64) -> u64 {
    let Tree::Map(map) = stage else { return seed };
    map.iter()
        .filter(|(name, _)| !BRANCHES.contains(&name.as_str()))
        .fold(seed, |seed, (name, value)| value.hash(tidegate_sdk::hash_bytes(seed, name.as_bytes())))
}

/// A table that has no stage's name: with the one that was meant, if one is near, or with all of them.
fn no_stage(at: &str, found: &[&str]) -> String {
    let keys = if found.is_empty() { "an empty table".to_owned() } else { found.join(", ") };
    let near = |key: &&str, name: &&'static str| {
        let edits = edits(key, name);
        (edits * 3 <= key.len()).then_some((edits, *name))
    };
    let meant =
        found.iter().flat_map(|key| STAGES_BY_NAME.iter().filter_map(move |name| near(key, name))).min();
    match meant {
        Some((_, name)) => format!("{at}: a stage was expected, found {keys}: did you mean `{name}`?"),
        _ => format!("{at}: a stage was expected, found {keys}; stages are {}", STAGES_BY_NAME.join(", ")),
    }
}

/// How many letters have to be added, taken away or exchanged to make one word of the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, a) in from.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], n + 1);
        for (m, b) in to.bytes().enumerate() {
            let exchanged = corner + usize::from(a != b);
            corner = row[m + 1];
            row[m + 1] = exchanged.min(row[m].min(corner) + 1);
        }
    }
    row[to.len()]
}

fn number_of(tree: &Tree, clause: &Table<'_>) -> Result<f64, String> {
    number(tree, &clause.place("value"))
}

//! Dashboards as Grafana wants them (dashboard JSON model, schema 39).

use serde_json::{Value, json};

/// One dashboard.
pub struct Board {
    pub uid: &'static str,
    pub title: &'static str,
    /// Variables to choose by: name and the query that lists its values.
    pub variables: Vec<(&'static str, &'static str)>,
    pub panels: Vec<Panel>,
}

/// One panel.
pub struct Panel {
    pub title: &'static str,
    /// What it shows, for who wonders.
    pub help: &'static str,
    pub kind: Kind,
    /// A Grafana unit.
    pub unit: &'static str,
    /// Expression and legend.
    pub asks: Vec<(&'static str, &'static str)>,
    /// Of 24 columns.
    pub width: u64,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Lines,
    Number,
    Table,
}

const HEIGHT: u64 = 8;

impl Panel {
    pub fn lines(title: &'static str, unit: &'static str, asks: &[(&'static str, &'static str)]) -> Self {
        Self { title, help: "", kind: Kind::Lines, unit, asks: asks.to_vec(), width: 12 }
    }

    pub fn number(title: &'static str, unit: &'static str, expression: &'static str) -> Self {
        Self { title, help: "", kind: Kind::Number, unit, asks: vec![(expression, "")], width: 6 }
    }

    pub fn table(title: &'static str, expression: &'static str) -> Self {
        Self { title, help: "", kind: Kind::Table, unit: "short", asks: vec![(expression, "")], width: 24 }
    }

    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }
}

impl Board {
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        let panels = self.panels.iter().flat_map(|panel| panel.asks.iter().map(|(expression, _)| *expression));
        panels.chain(self.variables.iter().map(|(_, query)| *query))
    }

    pub fn json(&self) -> Value {
        let (mut x, mut y) = (0, 0);
        let mut panels = Vec::new();
        for (id, panel) in (1_u64..).zip(&self.panels) {
            if x + panel.width > 24 {
                (x, y) = (0, y + HEIGHT);
            }
            panels.push(panel_json(panel, id, x, y));
            x += panel.width;
        }
        let source = json!({ "name": "datasource", "type": "datasource", "query": "prometheus" });
        let variables = self.variables.iter().map(|(name, query)| variable(name, query));
        let list: Vec<Value> = [source].into_iter().chain(variables).collect();
        json!({
            "uid": self.uid,
            "title": self.title,
            "tags": ["takt"],
            "schemaVersion": 39,
            "editable": true,
            "refresh": "30s",
            "time": { "from": "now-6h", "to": "now" },
            "templating": { "list": list },
            "panels": panels,
        })
    }
}

fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name,
        "type": "query",
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "query": query,
        "refresh": 2,
        "includeAll": true,
        "multi": true,
        "current": { "text": "All", "value": "$__all" },
    })
}

fn panel_json(panel: &Panel, id: u64, x: u64, y: u64) -> Value {
    let instant = !matches!(panel.kind, Kind::Lines);
    let targets: Vec<Value> = (b'A'..)
        .zip(&panel.asks)
        .map(|(letter, (expression, legend))| {
            json!({
                "refId": char::from(letter).to_string(),
                "expr": expression,
                "legendFormat": legend,
                "instant": instant,
                "range": !instant,
                "format": if matches!(panel.kind, Kind::Table) { "table" } else { "time_series" },
            })
        })
        .collect();
    let kind = match panel.kind {
        Kind::Lines => "timeseries",
        Kind::Number => "stat",
        Kind::Table => "table",
    };
    json!({
        "id": id,
        "title": panel.title,
        "description": panel.help,
        "type": kind,
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "gridPos": { "x": x, "y": y, "w": panel.width, "h": HEIGHT },
        "fieldConfig": { "defaults": { "unit": panel.unit }, "overrides": [] },
        "options": {},
        "targets": targets,
    })
}

//! `GET models` and `GET models/{id}`.

use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, Shared};
use crate::error::ApiError;
use crate::types::model::{ModelList, ModelObject};

/// All names of the served model.
pub(crate) async fn list(State(app): State<Shared>) -> Json<ModelList> {
    let data = app.model.names.iter().map(|name| object(&app, name)).collect();
    Json(ModelList { object: "list", data })
}

/// One of them; the name may hold slashes.
pub(crate) async fn one(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<ModelObject>, ApiError> {
    app.require_model(&id)?;
    Ok(Json(object(&app, &id)))
}

fn object(app: &App, name: &str) -> ModelObject {
    ModelObject {
        id: name.to_owned(),
        object: "model",
        created: app.model.created,
        owned_by: "lockstep",
        root: app.model.names.first().cloned().unwrap_or_default(),
        max_model_len: app.model.context,
        context_window: app.model.context,
        active: true,
    }
}

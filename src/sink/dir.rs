//! A folder.
use super::*;
pub(super) struct Dir;
impl Dir {
    pub(super) fn open(_: &Path, _: Durability, _: &str) -> Result<Self, SinkError> {
        Ok(Dir)
    }
}
#[async_trait]
impl Sink for Dir {
    fn parts(&self) -> &Parts {
        unreachable!()
    }
    async fn place(&self, _: Vec<(Sound, ImageName)>) -> Vec<Result<Placed, SinkError>> {
        vec![]
    }
    async fn holds(&self, _: &ImageName, _: &Content) -> Result<Option<ImageName>, SinkError> {
        Ok(None)
    }
}

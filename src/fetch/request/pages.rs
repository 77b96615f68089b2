//! Pages: read whole, and held against the error rules of the site's definition.

use url::Url;

use super::Requester;
use crate::fetch::access::host_of;
use crate::fetch::body::{Accepted, ArchivedBody, Page, RawPage, ends_like_html};
use crate::fetch::error::{FetchError, FetchErrorKind};
use crate::fetch::hops::Question;
use crate::fetch::transport::{HostResponse, RequestKind, known_error};
use crate::site::ErrorRule;

impl Requester {
    /// Reads a page, with retries. A redirect with one of `end_statuses` is not followed.
    pub(in crate::fetch) async fn page(
        &self,
        address: &Url,
        end_statuses: &[u16],
    ) -> Result<Page, FetchError> {
        let question = Question {
            end_statuses,
            ..Question::new(RequestKind::Page)
        };
        let page = self
            .retry(|| self.read_page(question, address, false))
            .await;
        page.inspect_err(|error| {
            self.note_stop(error);
        })
    }

    /// Reads a page that leads to an image, without retries: its job has those.
    pub(in crate::fetch) async fn page_once(
        &self,
        address: &Url,
        has_next: bool,
    ) -> Result<Page, FetchError> {
        let question = Question::new(RequestKind::Page);
        let page = self.read_page(question, address, has_next).await;
        if let Err(error) = &page {
            Box::pin(self.tell_stop(error)).await;
        }
        page
    }

    async fn read_page(
        &self,
        question: Question<'_>,
        address: &Url,
        has_next: bool,
    ) -> Result<Page, FetchError> {
        let (_raw, page) = self.read_both(question, address, has_next).await?;
        Ok(page)
    }

    /// A page as it was sent, and as text.
    async fn read_both(
        &self,
        question: Question<'_>,
        address: &Url,
        has_next: bool,
    ) -> Result<(RawPage, Page), FetchError> {
        let response = self.request(question, address.clone()).await?;
        self.both_of(response, None, has_next).await
    }

    /// Reads a response as a page, as it was sent and as text; from the web archive, with what that says of it.
    pub(in crate::fetch) async fn both_of(
        &self,
        response: HostResponse,
        archived: Option<Box<ArchivedBody>>,
        has_next: bool,
    ) -> Result<(RawPage, Page), FetchError> {
        let (url, status) = (response.address.clone(), response.status());
        let content_type = response.content_type().map(str::to_owned);
        let next = response.next_link();
        let mut body = self
            .text_body(
                response,
                Accepted::Packed,
                self.settings.max_page_bytes,
                has_next,
            )
            .await?;
        if let Some(archived) = archived {
            body = body.of_capture(archived);
        }
        let bytes = body.collect_to_close(usize::MAX).await?;
        let raw = RawPage {
            url,
            status,
            content_type,
            next,
            charset: self.rules.charset(),
            bytes,
        };
        let page = raw.decoded();
        if !ends_like_html(&page.text)
            && let Some(cut) = body.reject_end()
        {
            return Err(cut);
        }
        body.accept_end();
        if let Some(kind) = self.page_error(status, &page.text) {
            return Err(FetchError::new(host_of(&raw.url), kind));
        }
        Ok((raw, page))
    }

    /// Reads a page as the server sends it, with retries.
    pub(in crate::fetch) async fn raw_page(&self, address: &Url) -> Result<RawPage, FetchError> {
        let question = Question::new(RequestKind::Page);
        let read = || self.read_both(question, address, false);
        let (raw, _page) = self.retry(read).await?;
        Ok(raw)
    }

    /// The error that a page is by the rules of the definition: some sites answer errors with 200.
    fn page_error(&self, status: u16, text: &str) -> Option<FetchErrorKind> {
        let is_about = |rule: &ErrorRule| rule.has_status(status);
        if !self.rules.errors().iter().any(is_about) {
            return None;
        }
        let mut end = text.len().min(ErrorRule::MAX_BODY);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let rule = ErrorRule::find(self.rules.errors(), status, &text[..end])?;
        Some(known_error(rule, status, None))
    }
}

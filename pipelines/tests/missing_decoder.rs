//! A codec without its plugin. A binary of its own, because it takes decoders away from the whole process.
#![allow(clippy::unwrap_used)]

mod clips;

use gstreamer as gst;
use gstreamer::prelude::*;
use kinetograph_pipelines::IngestError;

#[test]
fn a_missing_decoder_is_named() {
    let Some(data) = clips::data() else { return };
    gst::init().unwrap();
    let h264 = gst::Caps::new_empty_simple("video/x-h264");
    for factory in
        gst::ElementFactory::factories_with_type(gst::ElementFactoryType::DECODER, gst::Rank::MARGINAL)
    {
        if factory.can_sink_any_caps(&h264) {
            factory.set_rank(gst::Rank::NONE);
        }
    }
    let error = clips::refusal(&data.join("tracking/davis_dog.mp4"));
    assert!(matches!(&error, IngestError::MissingPlugin { codec, .. } if codec.contains("H.264")), "{error}");
    // Others are as before.
    let (frames, end) = clips::read_path(&data.join("tracking/otb_crossing.avi"));
    assert_eq!((frames.len(), end.error), (120, None));
}
